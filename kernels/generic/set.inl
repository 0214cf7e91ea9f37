// What find() asks a set for. A set may have more special overloads of its own.

inline DepthwiseConv3x3 get(Tag<DepthwiseConv3x3>) { return {&dwconv3x3}; }
inline Gemm get(Tag<Gemm>) { return {&gemm, &gemm_packed_size, &gemm_pack}; }
inline Conv3x3 get(Tag<Conv3x3>) { return {&conv3x3, &conv3x3_packed_size, &conv3x3_pack, &conv3x3_scratch, &conv3x3_block}; }
template <int Outputs>
inline ClassLogits<Outputs> get(Tag<ClassLogits<Outputs>>) {
    return {&class_logits<Outputs>};
}
template <int K, int Stride, int ChannelsOut>
inline LoadPixels<K, Stride, ChannelsOut> get(Tag<LoadPixels<K, Stride, ChannelsOut>>) {
    return {&load_interleaved<K>, &interleaved_row_size<K>};
}
template <int K, int Stride, int ChannelsOut>
inline Stem<K, Stride, ChannelsOut> get(Tag<Stem<K, Stride, ChannelsOut>>) {
    return {&interleaved_stem<K, Stride, ChannelsOut>};
}
