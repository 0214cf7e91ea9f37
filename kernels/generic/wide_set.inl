// What find() asks a set for, of the wide networks' kernels.

inline WideConv get(Tag<WideConv>) { return {&wide_conv, &wide_packed_size, &wide_pack, &wide_scratch}; }
inline SmallConv3x3 get(Tag<SmallConv3x3>) {
    return {&small_conv3x3, &small_conv3x3_packed_size, &small_conv3x3_pack, &small_conv3x3_scratch};
}
inline MaxPool3x3 get(Tag<MaxPool3x3>) { return {&max_pool3x3}; }
inline ScaleShift get(Tag<ScaleShift>) { return {&scale_shift}; }
