// Rows of YUV, of a set that has no vectors for them.

inline void yuv_blend(const YuvBlendArgs& a) { yuv_blend_from(a, 0); }
inline void yuv_blocks(const YuvBlocksArgs& a) { yuv_blocks_from(a, 0); }
inline void yuv_pairs(const YuvPairsArgs& a) { yuv_pairs_from(a, 0); }
