/*
 * abi_private: what the files of the boundary share: addresses, the handle of a node, the one result buffer, and reading of lists.
 */
#ifndef BBW_WASM_ABI_PRIVATE_H
#define BBW_WASM_ABI_PRIVATE_H

#include "base/mem.h"
#include "base/vec.h"
#include "bbw/bbw.h"
#include "bbw/session.h"
#include "host_component.h"
#include "memory.h"
#include "pack.h"

#if !defined(__wasm32__)
#error "this file is for wasm32: addresses are 32 bits wide"
#endif

/* A node and the host component types that it uses. */
typedef struct abi_node {
  bbw_node *node;
  bbw_host_type *types;
  size_t type_count;
} abi_node;

static inline void *address(uint32_t ptr) { return (void *)(uintptr_t)ptr; }
static inline uint32_t offset(const void *ptr) { return (uint32_t)(uintptr_t)ptr; }
static inline bbw_bytes bytes_at(uint32_t ptr, uint32_t len) { return (bbw_bytes){address(ptr), len}; }
static inline bbw_str text_at(uint32_t ptr, uint32_t len) { return (bbw_str){address(ptr), len}; }
static inline bbw_error *error_at(uint32_t err) { return address(err); }
static inline bbw_node *node_at(uint32_t handle) { return ((abi_node *)address(handle))->node; }

static inline void out_set(uint32_t out, const void *ptr, size_t len) {
  uint32_t *words = address(out);
  words[0] = offset(ptr);
  words[1] = (uint32_t)len;
}

/* A zeroed array of at least one element, so that NULL always means out of memory. */
static inline void *array_new(size_t count, size_t size) { return bbw_mem_array(&bbw_wasm_mem, count + 1, size); }
static inline void array_free(void *array, size_t count, size_t size) {
  bbw_mem_array_free(&bbw_wasm_mem, array, count + 1, size);
}

/* The buffer of the call that gives a result now; what the last one gave is freed. */
bbw_vec *abi_result_begin(void);
/* Points `out` to the buffer.  BBW_OK, or BBW_E_NOMEM when writing failed. */
int32_t abi_result_end(bool ok, uint32_t out, uint32_t err);

/* list of bytes; *out is to be freed with array_free whatever comes back. */
bbw_status abi_read_byte_list(bbw_pack *pack, bbw_bytes **out, size_t *count);

/* A port as bbw_abi_session_ports lists it. */
bool abi_put_port(bbw_vec *list, const bbw_port_info *port);
/* Whether types and shapes of arrays that the glue has written make sense; sets their counts. */
bool abi_check_arrays(bbw_array *arrays, size_t count);

#endif
