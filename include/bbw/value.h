/*
 * value: what a slot holds.
 *
 * Values are immutable once made and shared by reference count; the count is not atomic, a value belongs to one node.
 * Which fields are in use follows from `type` (the table below).  Lengths and counts are checked when a value is made,
 * so readers may trust them.
 *
 *   type                                             field
 *   TRIGGER, UNIT                                    -
 *   COMMAND_ID, TIMESTAMP, WIRE_REQ_ID, CORRELATION_TOKEN, U64, RAW_U64, RAW_U32, FEDAVG_META   as.u64
 *   RAW_F32                                          as.f32
 *   BYTES, BYTE_SLICE                                as.bytes, the content
 *   PEER_ID, RAW_PEER                                as.bytes, multihash bytes (valid)
 *   ADDRESS                                          as.bytes, binary form (valid)
 *   PEER_ID_VEC, RAW_PEER_VEC, ADDRESS_VEC           as.blobs, each as above
 *   COMPOSITE, F32_SLICE_VEC                         as.list
 *   HITS                                             as.hits
 *   CPU_TENSOR, BOXED_CPU_TENSOR, F32_SLICE          as.tensor (F32_SLICE has rank 1)
 */
#ifndef BBW_VALUE_H
#define BBW_VALUE_H

#include "bbw/error.h"

typedef enum bbw_type {
#define TYPE(name, js, hash, decoder, path, lattice) BBW_TYPE_##name,
#include "bbw/types.def"
#undef TYPE
  BBW_TYPE_COUNT
} bbw_type;

#define BBW_TENSOR_RANK_MAX 32u
/* How deep lists may nest: a composite of plain values is 1 deep. */
#define BBW_COMPOSITE_DEPTH_MAX 256u

typedef struct bbw_tensor {
  uint32_t rank;        /* 0 = a scalar with one element */
  const uint64_t *dims; /* rank entries; their product is count */
  size_t count;         /* elements */
  const float *data;    /* row-major, 16-byte aligned */
} bbw_tensor;

typedef struct bbw_hit {
  uint64_t id;
  float score;
} bbw_hit;

/* Memory that several things keep: it goes with the last of them. */
typedef struct bbw_shared {
  uint32_t refs;
  size_t own_bytes; /* size of the allocation that begins with this */
} bbw_shared;
void bbw_shared_release(bbw_shared *shared, const bbw_mem *mem);

typedef struct bbw_value {
  uint32_t refs;
  uint16_t type;        /* bbw_type */
  uint16_t depth;       /* levels of lists from here down; 0 for everything that is no list */
  size_t own_bytes;     /* size of this allocation, for its release */
  size_t payload_bytes; /* of the wire payload, known when the value is made; SIZE_MAX when that does not fit */
  bbw_shared *owner;    /* of what as.bytes points to; NULL: it lies in this allocation */
  union {
    uint64_t u64;
    float f32;
    bbw_bytes bytes;
    struct {
      const bbw_bytes *items;
      size_t count;
    } blobs;
    struct {
      struct bbw_value *const *items;
      size_t count;
    } list;
    struct {
      const bbw_hit *items;
      size_t count;
    } hits;
    bbw_tensor tensor;
  } as;
} bbw_value;

/* Makers.  All return BBW_OK and *out with one reference, or an error and leave *out alone.  Inputs are copied. */
bbw_status bbw_value_new_plain(bbw_value **out, bbw_type type, uint64_t number,
                               const bbw_mem *mem); /* no-field and number types; RAW_U32 checks its range */
bbw_status bbw_value_new_f32(bbw_value **out, float number, const bbw_mem *mem); /* RAW_F32 */
/* BYTES, BYTE_SLICE as they are; PEER_ID, RAW_PEER and ADDRESS are checked (BBW_E_PEER_ID, address errors). */
bbw_status bbw_value_new_bytes(bbw_value **out, bbw_type type, bbw_bytes content, const bbw_mem *mem);
/* PEER_ID_VEC, RAW_PEER_VEC, ADDRESS_VEC; each item is checked. */
bbw_status bbw_value_new_blobs(bbw_value **out, bbw_type type, const bbw_bytes *items, size_t count,
                               const bbw_mem *mem);
/* COMPOSITE of anything, F32_SLICE_VEC of F32_SLICE; takes a reference of its own on each item.  BBW_E_DEPTH when the result would
 * nest deeper than BBW_COMPOSITE_DEPTH_MAX. */
bbw_status bbw_value_new_list(bbw_value **out, bbw_type type, bbw_value *const *items, size_t count,
                              const bbw_mem *mem);
bbw_status bbw_value_new_hits(bbw_value **out, const bbw_hit *items, size_t count, const bbw_mem *mem);
/* CPU_TENSOR, BOXED_CPU_TENSOR, F32_SLICE.  *data receives the element storage to fill (zeroed) before the value is
 * shared.  BBW_E_SHAPE when the product of dims overflows or rank > BBW_TENSOR_RANK_MAX, or F32_SLICE with rank != 1. */
bbw_status bbw_value_new_tensor(bbw_value **out, float **data, bbw_type type, const uint64_t *dims, uint32_t rank,
                                const bbw_mem *mem);

bbw_value *bbw_value_retain(bbw_value *value); /* returns value */
void bbw_value_release(bbw_value *value,
                       const bbw_mem *mem); /* NULL does nothing; children are released without recursion */

bool bbw_value_is_tensor(const bbw_value *value); /* one of the three tensor carriers */

uint64_t bbw_type_hash(bbw_type type);
bbw_str bbw_type_name(bbw_type type); /* the JsName column */
bool bbw_type_from_hash(uint64_t hash, bbw_type *out);
bool bbw_type_is_decodable(bbw_type type);

/* The wire payload (bincode 1; install specification §7).  Size first, then exactly that many bytes.  Each child of a composite
 * is visited once.  SIZE_MAX when the size does not fit. */
size_t bbw_value_payload_size(const bbw_value *value);
void bbw_value_payload_write(const bbw_value *value, uint8_t *out);

/* Decodes a payload.  Trailing bytes are ignored, as the reference does.  BBW_E_UNKNOWN_TYPE_HASH, BBW_E_DECODE (field "summary", offset),
 * BBW_E_DEPTH, BBW_E_NOMEM. */
bbw_status bbw_value_decode(bbw_value **out, uint64_t type_hash, bbw_bytes payload, const bbw_mem *mem, bbw_error *err);

#endif
