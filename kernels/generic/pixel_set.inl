// What find() asks a set for, of the kernels over 8-bit pixels.

inline YuvBlend get(Tag<YuvBlend>) { return {&yuv_blend}; }
inline YuvBlocks get(Tag<YuvBlocks>) { return {&yuv_blocks}; }
inline YuvPairs get(Tag<YuvPairs>) { return {&yuv_pairs}; }
inline WarpRow get(Tag<WarpRow>) { return {&warp_row}; }
inline AddBytes get(Tag<AddBytes>) { return {&add_bytes}; }
inline MeanRow get(Tag<MeanRow>) { return {&mean_row}; }
