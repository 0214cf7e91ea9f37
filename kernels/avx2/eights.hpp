// Eight lanes as the mesh's kernels use them. Included inside the target regions and namespaces of avx2 and of avx512, before lanes.hpp.

/// Eight lanes.
using Eight = __m256;
RETINAFACE_INLINE Eight load_eight(const float* p) { return _mm256_loadu_ps(p); }
RETINAFACE_INLINE void store_eight(float* p, Eight v) { _mm256_storeu_ps(p, v); }
RETINAFACE_INLINE Eight zero_eight() { return _mm256_setzero_ps(); }
RETINAFACE_INLINE Eight fma_eight(float a, Eight b, Eight c) { return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c); }
RETINAFACE_INLINE Eight sub_eight(Eight a, Eight b) { return _mm256_sub_ps(a, b); }
RETINAFACE_INLINE Eight positive_eight(Eight v) { return _mm256_max_ps(v, _mm256_setzero_ps()); }
/// Four factors, in each half.
using FourFactors = Eight;
RETINAFACE_INLINE FourFactors load_four_factors(const float* p) {
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
}
/// One of them in every lane.
template <int I>
RETINAFACE_INLINE Eight spread(FourFactors factors) {
    return _mm256_permute_ps(factors, 0x55 * I);
}
RETINAFACE_INLINE Eight fma_eight(Eight a, Eight b, Eight c) { return _mm256_fmadd_ps(a, b, c); }
