// The kernels over 8-bit pixels of a set that has no vectors for them.

inline void yuv_blend(const YuvBlendArgs& a) { yuv_blend_from(a, 0); }
inline void yuv_blocks(const YuvBlocksArgs& a) { yuv_blocks_from(a, 0); }
inline void yuv_pairs(const YuvPairsArgs& a) { yuv_pairs_from(a, 0); }
inline void warp_row(const WarpRowArgs& a) { warp_row_anywhere(a, 0, a.count); }
inline void add_bytes(const AddBytesArgs& a) { add_bytes_from(a, 0); }
inline void mean_row(const MeanRowArgs& a) { mean_row_plain(a); }
