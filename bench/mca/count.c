// qemu-user plugin: how often each translation block ran, and which of the memory it touched missed two levels of cache.
//
//   cc -O2 -shared -fPIC -o count.so count.c
//   qemu-aarch64 -plugin ./count.so,out=counts.txt[,cache=on] program
//
// Output: a line "tb <address> <instructions> <bytes> <count>" a block, and with cache=on a line
// "cache <loads+stores> <L1 misses> <L2 misses> <lines written back>". Debian's qemu-user comes without qemu-plugin.h: what is
// used of it (API version 1, QEMU 4.2 and later) is declared here.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
enum { kInlineAdd = 0 };
enum { kNoRegisters = 0 };
enum { kMemRead = 1, kMemWrite = 2, kMemBoth = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int, void*, uint64_t);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn*, void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void*), int,
                                      int, void*);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*), void*);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb*);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn*);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

typedef struct Block {
    struct Block* next;
    uint64_t address, instructions, bytes, count;
} Block;

enum { kBuckets = 1 << 16, kLine = 64 };
static Block* buckets[kBuckets];
static const char* output = "counts.txt";
static bool cache;

// Least recently used, write back, write allocate. Cortex-A72 in the RK3399: 32 KB, 2 ways; 1 MB, 16 ways.
enum { kL1Sets = 256, kL1Ways = 2, kL2Sets = 1024, kL2Ways = 16 };
typedef struct {
    uint64_t line;
    bool dirty;
} Entry;
static Entry l1[kL1Sets][kL1Ways], l2[kL2Sets][kL2Ways];
static uint64_t accesses, l1_misses, l2_misses, written_back;

/// Looks a line up, brings it to the front; returns whether it was there and leaves what it threw out in `out`.
static bool touch(Entry* set, int ways, uint64_t line, bool store, Entry* out) {
    int i = 0;
    while (i < ways - 1 && set[i].line != line) ++i;
    const bool hit = set[i].line == line;
    Entry entry = {line, store};
    out->line = 0;
    if (hit)
        entry.dirty = set[i].dirty || store;
    else
        *out = set[i];
    memmove(set + 1, set, (size_t)i * sizeof(Entry));
    set[0] = entry;
    return hit;
}

static void lookup_l2(uint64_t line, bool store) {
    Entry out;
    if (!touch(l2[line % kL2Sets], kL2Ways, line, store, &out)) {
        if (!store) ++l2_misses;
        if (out.line != 0 && out.dirty) ++written_back;
    }
}

static void access_memory(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void* data) {
    (void)cpu;
    (void)data;
    const bool store = qemu_plugin_mem_is_store(info);
    const uint64_t last = address + ((uint64_t)1 << qemu_plugin_mem_size_shift(info)) - 1;
    for (uint64_t line = address / kLine; line <= last / kLine; ++line) {
        Entry out;
        ++accesses;
        if (touch(l1[line % kL1Sets], kL1Ways, line, store, &out)) continue;
        ++l1_misses;
        if (out.line != 0 && out.dirty) lookup_l2(out.line, true);
        lookup_l2(line, false);
    }
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
    (void)id;
    const uint64_t address = qemu_plugin_tb_vaddr(tb), instructions = qemu_plugin_tb_n_insns(tb);
    Block** place = &buckets[(address / 2) % kBuckets];
    Block* block = *place;
    while (block != NULL && (block->address != address || block->instructions != instructions)) block = block->next;
    if (block == NULL) {
        block = calloc(1, sizeof(Block));
        block->address = address;
        block->instructions = instructions;
        for (size_t i = 0; i < instructions; ++i) block->bytes += qemu_plugin_insn_size(qemu_plugin_tb_get_insn(tb, i));
        block->next = *place;
        *place = block;
    }
    qemu_plugin_register_vcpu_tb_exec_inline(tb, kInlineAdd, &block->count, 1);
    if (cache)
        for (size_t i = 0; i < instructions; ++i)
            qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), access_memory, kNoRegisters, kMemBoth, NULL);
}

static void finish(qemu_plugin_id_t id, void* data) {
    (void)id;
    (void)data;
    FILE* file = fopen(output, "w");
    if (file == NULL) return;
    for (int i = 0; i < kBuckets; ++i)
        for (const Block* b = buckets[i]; b != NULL; b = b->next)
            if (b->count != 0)
                fprintf(file, "tb %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", b->address, b->instructions, b->bytes,
                        b->count);
    if (cache)
        fprintf(file, "cache %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", accesses, l1_misses, l2_misses, written_back);
    fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                                                               char** argv) {
    (void)info;
    for (int i = 0; i < argc; ++i) {
        if (strncmp(argv[i], "out=", 4) == 0) output = strdup(argv[i] + 4);
        if (strcmp(argv[i], "cache=on") == 0) cache = true;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
