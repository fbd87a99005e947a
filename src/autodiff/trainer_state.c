/* What a trainer keeps and gives away: the state of the optimizer as bytes, and the parameters in their file. */
#include <math.h>
#include <string.h>

#include "autodiff/trainer_private.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "format/pbwire.h"
#include "kernels/elementwise.h"
#include "onnx/convert.h"

uint64_t bbw_trainer_hash(bbw_bytes bytes) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  bbw_siphash_write(&hash, bytes);
  return bbw_siphash_finish(&hash);
}

/* ---- state: magic, u32 version, u32 moments, u32 optimizer, u64 numbers each, u64 steps, u64 names and shapes; the moments as f32, or in 16 bits as trainer.c does; u64 checksum.  Little-endian. ---- */

#define STATE_HEAD    44u
#define STATE_TAIL    8u
#define STATE_VERSION 1u
#define STATE_HALF    0x200u /* in the number of the optimizer: moments of 16 bits; 0x100 were those of f16 */
static const uint8_t state_magic[8] = {'B', 'B', 'W', 'T', 'R', 'A', 'I', 'N'};

size_t bbw_trainer_state_bytes(const bbw_trainer *t) {
  return STATE_HEAD + t->moment_count * t->moment_bytes + STATE_TAIL;
}

/* Names and sizes of the parameters: the moments of another model do not fit. */
static uint64_t layout_of(const bbw_trainer *t) {
  bbw_siphash hash;
  bbw_siphash_init(&hash);
  for (uint32_t i = 0; i < t->graph.parameter_count; i++) {
    const bbw_trainer_parameter *p = &t->graph.parameters[i];
    uint8_t number[8];
    bbw_siphash_write(&hash, bbw_str_bytes(p->name));
    for (uint32_t d = 0; d <= p->rank; d++) {
      bbw_store_u64le(number, d < p->rank ? p->dims[d] : UINT64_MAX);
      bbw_siphash_write(&hash, (bbw_bytes){number, sizeof number});
    }
  }
  return bbw_siphash_finish(&hash);
}

static void write_head(const bbw_trainer *t, uint8_t *out) {
  memcpy(out, state_magic, 8);
  bbw_store_u32le(out + 8, STATE_VERSION);
  bbw_store_u32le(out + 12, t->moment_count);
  bbw_store_u32le(out + 16, (uint32_t)t->options.optimizer | (t->options.has_f16_state ? STATE_HALF : 0));
  bbw_store_u64le(out + 20, t->graph.value_count);
  bbw_store_u64le(out + 28, t->steps);
  bbw_store_u64le(out + 36, layout_of(t));
}

void bbw_trainer_state_save(const bbw_trainer *t, uint8_t *out) {
  size_t each = t->moment_bytes, at = STATE_HEAD;
  write_head(t, out);
  for (uint32_t i = 0; i < t->moment_count; i++, at += each) { memcpy(out + at, t->moments[i], each); }
  bbw_store_u64le(out + at, bbw_trainer_hash((bbw_bytes){out, at}));
}

static bbw_status unfit(bbw_error *err, const char *detail) {
  bbw_error_set(err, BBW_E_INVALID_VALUE);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_INVALID_VALUE;
}

/* A mean must be finite; a mean square may have overflowed, but is no NaN and not negative.  In 16 bits all are so. */
static bool is_moment(const bbw_trainer *t, uint32_t which, const uint8_t *from) {
  for (size_t i = 0; i < t->graph.value_count && !t->options.has_f16_state; i++) {
    float x;
    uint32_t bits = bbw_load_u32le(from + 4 * i);
    memcpy(&x, &bits, sizeof x);
    if (which == 0 ? !isfinite(x) : !(x >= 0.0f)) { return false; }
  }
  return true;
}

bbw_status bbw_trainer_state_load(bbw_trainer *t, bbw_bytes state, bbw_error *err) {
  size_t each = t->moment_bytes, at = STATE_HEAD;
  const uint8_t *p = state.ptr;
  if (state.len < STATE_HEAD + STATE_TAIL || memcmp(p, state_magic, 8) != 0) {
    return bbw_error_set(err, BBW_E_DECODE);
  }
  if (bbw_load_u32le(p + 8) != STATE_VERSION) { return unfit(err, "the state has another version"); }
  size_t body = state.len - STATE_TAIL;
  if (bbw_load_u64le(p + body) != bbw_trainer_hash((bbw_bytes){p, body})) {
    return bbw_error_set_at(err, BBW_E_DECODE, body);
  }
  uint8_t head[STATE_HEAD];
  write_head(t, head);
  if (memcmp(p + 12, head + 12, 8) != 0) {
    return unfit(err, "the state is that of another optimizer, or kept in another type");
  }
  if (memcmp(p + 20, head + 20, 8) != 0 || memcmp(p + 36, head + 36, 8) != 0) {
    return unfit(err, "the state is that of another model");
  }
  if (state.len != bbw_trainer_state_bytes(t)) { return bbw_error_set(err, BBW_E_DECODE); }
  bool is_sound = bbw_load_u64le(p + 28) < UINT64_MAX; /* one more is counted */
  for (uint32_t i = 0; is_sound && i < t->moment_count; i++) { is_sound = is_moment(t, i, p + at + i * each); }
  if (!is_sound) { return unfit(err, "the state holds what no training leaves"); }
  for (uint32_t i = 0; i < t->moment_count; i++, at += each) { memcpy(t->moments[i], p + at, each); }
  t->steps = bbw_load_u64le(p + 28);
  return BBW_OK;
}

/* ---- export: the elements of each initializer are written over where they are in the file ---- */

/* Field numbers of ModelProto.graph, GraphProto.initializer, and of TensorProto. */
enum { FIELD_GRAPH = 7, FIELD_INITIALIZER = 5, FIELD_FLOATS = 4, FIELD_NAME = 8, FIELD_RAW = 9 };

/* The next length-delimited field `number` of a message, as a part of the file; false at the end. */
static bool next_field(bbw_pbwire_reader *reader, uint32_t number, bbw_bytes *out) {
  while (reader->at < reader->end) {
    uint32_t got, wire;
    if (!bbw_pbwire_key(reader, &got, &wire)) { return false; }
    if (got == number && wire == BBW_WIRE_BYTES) { return bbw_pbwire_view(reader, out); }
    if (!bbw_pbwire_skip(reader, got, wire, 0)) { return false; }
  }
  return false;
}

static bbw_pbwire_reader reader_of(bbw_bytes bytes) {
  return (bbw_pbwire_reader){.bytes = bytes.ptr, .end = bytes.len};
}

static bbw_str name_of(bbw_bytes tensor) {
  bbw_pbwire_reader reader = reader_of(tensor);
  bbw_bytes name = {NULL, 0}, next;
  while (next_field(&reader, FIELD_NAME, &next)) { name = next; } /* the last one counts */
  return bbw_bytes_str(name);
}

/* Writes the numbers of one tensor; `tensor` lies in `file`, which may be changed.  False when there is no room for them. */
static bool write_tensor(uint8_t *file, bbw_bytes tensor, const float *values, size_t count) {
  uint8_t *base = file + (tensor.ptr - file);
  bbw_pbwire_reader reader = reader_of(tensor);
  bbw_bytes raw = {NULL, 0}, next;
  while (next_field(&reader, FIELD_RAW, &next)) { raw = next; }
  if (raw.len > 0) {
    if (raw.len != count * sizeof(float)) { return false; }
    memcpy(base + (raw.ptr - tensor.ptr), values, raw.len);
    return true;
  }
  size_t done = 0; /* float_data: packed, or one field each */
  reader = reader_of(tensor);
  while (reader.at < reader.end) {
    uint32_t number, wire, bits;
    if (!bbw_pbwire_key(&reader, &number, &wire)) { return false; }
    size_t at = reader.at, bytes = sizeof(float);
    if (number == FIELD_FLOATS && wire == BBW_WIRE_FIXED32) {
      if (!bbw_pbwire_fixed32(&reader, &bits)) { return false; }
    } else if (number == FIELD_FLOATS && wire == BBW_WIRE_BYTES) {
      if (!bbw_pbwire_view(&reader, &next)) { return false; }
      at = (size_t)(next.ptr - tensor.ptr);
      bytes = next.len;
    } else {
      if (!bbw_pbwire_skip(&reader, number, wire, 0)) { return false; }
      continue;
    }
    size_t n = bytes / sizeof(float);
    if (n > count - done) { return false; }
    memcpy(base + at, values + done, n * sizeof(float));
    done += n;
  }
  return done == count;
}

bbw_status bbw_trainer_export(const bbw_trainer *t, uint8_t *file, size_t len, bbw_error *err) {
  bbw_bytes bytes = {file, len}, graph, tensor;
  if (len != t->model_bytes || bbw_trainer_hash(bytes) != t->model_hash) {
    bbw_error_set(err, BBW_E_ARG);
    bbw_error_add_str(err, "detail", BBW_STR("this is not the file that the trainer was made from"));
    return BBW_E_ARG;
  }
  /* The file was read before, so this walk meets what that one met; a graph may come in parts. */
  bbw_pbwire_reader model = reader_of(bytes);
  while (next_field(&model, FIELD_GRAPH, &graph)) {
    bbw_pbwire_reader reader = reader_of(graph);
    while (next_field(&reader, FIELD_INITIALIZER, &tensor)) {
      bbw_str name = name_of(tensor);
      for (uint32_t i = 0; i < t->graph.parameter_count; i++) {
        const bbw_trainer_parameter *p = &t->graph.parameters[i];
        if (bbw_str_equal(p->name, name) && !write_tensor(file, tensor, t->values + p->offset, p->count)) {
          return bbw_error_set(err, BBW_E_UNSUPPORTED);
        }
      }
    }
  }
  return BBW_OK;
}
