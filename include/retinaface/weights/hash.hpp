// BLAKE2b (RFC 7693), what a weights file's hash is made with: as fast as memory is read from a disk, and in Python's hashlib.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "../config.hpp"

RETINAFACE_BEGIN_NAMESPACE
namespace detail {

/// BLAKE2b with a digest of 128 bits and no key.
class Blake2b128 {
public:
    static constexpr std::size_t kDigits = 32;

    Blake2b128() noexcept {
        for (int i = 0; i < 8; ++i) state_[i] = kStart[i];
        state_[0] ^= 0x01010000u ^ (kDigits / 2);
    }

    void add(const void* data, std::size_t size) noexcept {
        const auto* bytes = static_cast<const unsigned char*>(data);
        while (size > 0) {
            // A full block waits for more: the last one is marked.
            if (filled_ == kBlock) {
                length_ += kBlock;
                if (length_ < kBlock) ++length_high_;
                compress(block_, false);
                filled_ = 0;
            }
            // Whole blocks need no copy.
            if (filled_ == 0)
                for (; size > kBlock; bytes += kBlock, size -= kBlock) {
                    length_ += kBlock;
                    if (length_ < kBlock) ++length_high_;
                    compress(bytes, false);
                }
            const std::size_t part = size < kBlock - filled_ ? size : kBlock - filled_;
            std::memcpy(block_ + filled_, bytes, part);
            filled_ += part;
            bytes += part;
            size -= part;
        }
    }

    /// The digest in lower-case hexadecimal. Call once.
    std::array<char, kDigits> digits() noexcept {
        length_ += filled_;
        if (length_ < filled_) ++length_high_;
        std::memset(block_ + filled_, 0, kBlock - filled_);
        compress(block_, true);
        std::array<char, kDigits> text;
        for (std::size_t i = 0; i < kDigits; ++i) {
            const std::size_t byte = i / 2;
            const auto value = static_cast<unsigned>(state_[byte / 8] >> (8 * (byte % 8)));
            text[i] = "0123456789abcdef"[(i % 2 == 0 ? value >> 4 : value) & 15u];
        }
        return text;
    }

private:
    static constexpr std::size_t kBlock = 128;
    static constexpr std::uint64_t kStart[8] = {0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu,
                                                0xa54ff53a5f1d36f1u, 0x510e527fade682d1u, 0x9b05688c2b3e6c1fu,
                                                0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u};
    static constexpr std::uint8_t kOrder[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

    static std::uint64_t rotated(std::uint64_t v, int right) noexcept { return v >> right | v << (64 - right); }

    void compress(const unsigned char* block, bool last) noexcept {
        std::uint64_t m[16], v[16];
        for (int i = 0; i < 16; ++i) {
            m[i] = 0;
            for (int b = 0; b < 8; ++b) m[i] |= std::uint64_t{block[8 * i + b]} << (8 * b);  // little-endian on any machine
        }
        for (int i = 0; i < 8; ++i) {
            v[i] = state_[i];
            v[i + 8] = kStart[i];
        }
        v[12] ^= length_;
        v[13] ^= length_high_;
        if (last) v[14] = ~v[14];
        const auto mix = [&](int a, int b, int c, int d, std::uint64_t x, std::uint64_t y) {
            v[a] += v[b] + x;
            v[d] = rotated(v[d] ^ v[a], 32);
            v[c] += v[d];
            v[b] = rotated(v[b] ^ v[c], 24);
            v[a] += v[b] + y;
            v[d] = rotated(v[d] ^ v[a], 16);
            v[c] += v[d];
            v[b] = rotated(v[b] ^ v[c], 63);
        };
        RETINAFACE_UNROLL
        for (int round = 0; round < 12; ++round) {
            const std::uint8_t* const s = kOrder[round % 10];
            mix(0, 4, 8, 12, m[s[0]], m[s[1]]);
            mix(1, 5, 9, 13, m[s[2]], m[s[3]]);
            mix(2, 6, 10, 14, m[s[4]], m[s[5]]);
            mix(3, 7, 11, 15, m[s[6]], m[s[7]]);
            mix(0, 5, 10, 15, m[s[8]], m[s[9]]);
            mix(1, 6, 11, 12, m[s[10]], m[s[11]]);
            mix(2, 7, 8, 13, m[s[12]], m[s[13]]);
            mix(3, 4, 9, 14, m[s[14]], m[s[15]]);
        }
        for (int i = 0; i < 8; ++i) state_[i] ^= v[i] ^ v[i + 8];
    }

    std::uint64_t state_[8];
    std::uint64_t length_ = 0, length_high_ = 0;
    unsigned char block_[kBlock];
    std::size_t filled_ = 0;
};

}  // namespace detail
RETINAFACE_END_NAMESPACE
