/*
 * proto: protobuf messages by table.
 *
 * A message type is a C struct and a table of its fields; one decoder and one encoder walk the tables.  Decoding allocates from
 * an arena, keeps views into the input for text and bytes, never recurses, and follows install specification §1.1: packed and
 * unpacked lists, last scalar wins, sub-messages merge, unknown fields and groups are skipped, at most 100 nested messages, text
 * is checked UTF-8.  Encoding writes fields in the order of the table, omits defaults, packs lists.
 *
 * Memory: a repeated message costs its struct per element and lists grow by doubling, so decoding n bytes may take a few hundred
 * times n in the worst case (two bytes per empty element).  Give the arena a bbw_mem with a cap where the input is untrusted.
 *
 * Why not generated code: the generated decoders that are at hand recurse without a limit, do not check UTF-8, keep unknown fields
 * and copy every tensor; a table also costs less than a tenth of their size in wasm.
 */
#ifndef BBW_FORMAT_PROTO_H
#define BBW_FORMAT_PROTO_H

#include "base/arena.h"
#include "bbw/error.h"
#include "format/pbwire.h"

#define BBW_PROTO_DEPTH_MAX BBW_PBWIRE_DEPTH_MAX

typedef enum bbw_proto_kind {
  BBW_PROTO_I64,     /* int64_t; int64 and uint64 on the wire */
  BBW_PROTO_I32,     /* int32_t; int32 and enum: the low 32 bits of the varint, negatives take ten bytes */
  BBW_PROTO_U32,     /* uint32_t; the low 32 bits of the varint */
  BBW_PROTO_BOOL,    /* bool; any varint but 0 is true */
  BBW_PROTO_FLOAT,   /* float */
  BBW_PROTO_DOUBLE,  /* double */
  BBW_PROTO_STRING,  /* bbw_str, UTF-8 */
  BBW_PROTO_BYTES,   /* bbw_bytes */
  BBW_PROTO_MESSAGE, /* const struct *, NULL when absent */
  BBW_PROTO_IGNORED, /* a message of the schema that nothing reads: its wire type is checked, its content is not kept */
} bbw_proto_kind;

typedef struct bbw_proto_message bbw_proto_message;

/* One field.  A repeated field is stored as a bbw_proto_list at `at`. */
typedef struct bbw_proto_field {
  uint32_t number;
  uint8_t kind; /* bbw_proto_kind */
  bool is_repeated;
  uint8_t oneof; /* 0, or a group id: setting one clears the others of the group */
  uint32_t at;   /* offset in the struct */
  uint32_t has;  /* 0, or the offset of a bool: set when the field is there, and then it is written even if default */
  const bbw_proto_message *message; /* element type for MESSAGE */
} bbw_proto_field;

struct bbw_proto_message {
  const char *name;
  size_t bytes;                  /* sizeof the struct */
  const bbw_proto_field *fields; /* in the order of encoding: by number, a oneof at its lowest number */
  size_t field_count;
};

/* Elements are dense: int64_t, int32_t, float, double, bbw_str, bbw_bytes, or structs (not pointers) for messages. */
typedef struct bbw_proto_list {
  const void *items;
  size_t count;
} bbw_proto_list;

/* Element i as a type: BBW_PROTO_AT(&model->functions, bbw_onnx_function, i). */
#define BBW_PROTO_AT(list, type, i) (&((const type *)(list)->items)[i])

/* Decodes `bytes` into *out (zeroed by the call).  Views point into `bytes`, arrays into the arena.  BBW_OK, BBW_E_NOMEM,
 * BBW_E_PROTOBUF (fields "reason" and "message", offset), BBW_E_DEPTH, BBW_E_UTF8.  On failure *out is not to be read. */
bbw_status bbw_proto_decode(void *out, const bbw_proto_message *type, bbw_bytes bytes, bbw_arena *arena,
                            bbw_error *err);

/* Encodes a message into arena memory.  BBW_OK, BBW_E_NOMEM or BBW_E_DEPTH. */
bbw_status bbw_proto_encode(bbw_bytes *out, const void *message, const bbw_proto_message *type, bbw_arena *arena);

#endif
