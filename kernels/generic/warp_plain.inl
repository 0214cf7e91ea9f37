// Sampling, sums and means, of a set that has no vectors for them.

inline void warp_row(const WarpRowArgs& a) { warp_row_anywhere(a, 0, a.count); }
inline void add_bytes(const AddBytesArgs& a) { add_bytes_from(a, 0); }
inline void mean_row(const MeanRowArgs& a) { mean_row_plain(a); }
