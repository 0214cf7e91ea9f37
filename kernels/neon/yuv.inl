// Rows of YUV turned into rgb8, 16 pixels at a time.

/// Eight pixels' colours: Y as words, sixteen times U and V.
RETINAFACE_INLINE uint8x8x3_t yuv_pixels(const YuvMatrix& m, int16x8_t y, int16x8_t u, int16x8_t v) {
    const int16x8_t luma = vqrdmulhq_n_s16(vshlq_n_s16(vsubq_s16(y, vdupq_n_s16(m.offset)), 7), m.y);
    u = vshlq_n_s16(vsubq_s16(u, vdupq_n_s16(16 * 128)), 3);
    v = vshlq_n_s16(vsubq_s16(v, vdupq_n_s16(16 * 128)), 3);
    return {{vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(v, m.rv)), 5),
             vqrshrun_n_s16(vsubq_s16(vsubq_s16(luma, vqrdmulhq_n_s16(u, m.gu)), vqrdmulhq_n_s16(v, m.gv)), 5),
             vqrshrun_n_s16(vaddq_s16(luma, vqrdmulhq_n_s16(u, m.bu)), 5)}};
}

RETINAFACE_INLINE int16x8_t words(uint8x8_t bytes) { return vreinterpretq_s16_u16(vmovl_u8(bytes)); }

/// Sixteen pixels, 48 bytes, of their even and their odd ones.
RETINAFACE_INLINE void store_pixels(const uint8x8x3_t& even, const uint8x8x3_t& odd, std::uint8_t* dst) {
    uint8x16x3_t pixels;
    RETINAFACE_UNROLL
    for (int c = 0; c < 3; ++c) {
        const uint8x8x2_t zipped = vzip_u8(even.val[c], odd.val[c]);
        pixels.val[c] = vcombine_u8(zipped.val[0], zipped.val[1]);
    }
    vst3q_u8(dst, pixels);
}

inline void yuv_blocks(const YuvBlocksArgs& a) {
    const YuvMatrix& m = a.matrix;
    const BlockRow& row = a.row;
    int x = 0;
    for (; x + 16 <= row.width; x += 16) {
        const uint8x8x2_t y = vld2_u8(row.y + x);
        const int16x8x2_t left = vld2q_s16(row.pairs + x - 2), own = vld2q_s16(row.pairs + x),
                          right = vld2q_s16(row.pairs + x + 2);
        const int u = row.u, v = 1 - u;
        const int16x8_t u3 = vmulq_n_s16(own.val[u], 3), v3 = vmulq_n_s16(own.val[v], 3);
        store_pixels(yuv_pixels(m, words(y.val[0]), vaddq_s16(u3, left.val[u]), vaddq_s16(v3, left.val[v])),
                     yuv_pixels(m, words(y.val[1]), vaddq_s16(u3, right.val[u]), vaddq_s16(v3, right.val[v])), a.dst + 3 * x);
    }
    yuv_blocks_from(a, x);
}

inline void yuv_pairs(const YuvPairsArgs& a) {
    const YuvMatrix& m = a.matrix;
    int x = 0;
    for (; x + 16 <= a.width; x += 16) {
        const uint8x8x4_t bytes = vld4_u8(a.row + 2 * x);
        const int16x8_t u = vshlq_n_s16(words(bytes.val[1]), 4), v = vshlq_n_s16(words(bytes.val[3]), 4);
        store_pixels(yuv_pixels(m, words(bytes.val[0]), u, v), yuv_pixels(m, words(bytes.val[2]), u, v), a.dst + 3 * x);
    }
    yuv_pairs_from(a, x);
}

inline void yuv_blend(const YuvBlendArgs& a) {
    int i = 0;
    for (; i + 8 <= a.count; i += 8)
        vst1q_s16(a.dst + i, vreinterpretq_s16_u16(vmlal_u8(vmovl_u8(vld1_u8(a.other + i)), vld1_u8(a.own + i), vdup_n_u8(3))));
    yuv_blend_from(a, i);
}
