// Shared by the generic bodies. Every .inl of this folder is re-included inside each ISA's namespace (and target region), after
// that ISA's vec.hpp.

/// Names a kernel type. What get() is chosen by; it is the set's own, so that find() sees the overloads of kernels that come later.
template <class Kernel>
struct Tag {};

RETINAFACE_INLINE Vec activate(Vec v, Vec slope) { return max(v, mul(v, slope)); }

/// The first n lanes (n a positive multiple of 8 or at least kWidth): vectors wider than 8 lanes meet half vectors at the
/// channels' end.
RETINAFACE_INLINE Vec load_lanes(const float* p, int n) { return kWidth <= 8 || n >= kWidth ? load(p) : load_half(p); }
RETINAFACE_INLINE void store_lanes(float* p, Vec v, int n) {
    if (kWidth <= 8 || n >= kWidth)
        store(p, v);
    else
        store_half(p, v);
}
