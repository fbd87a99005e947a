#include "components/onnx_options.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "format/onnx.h"
#include "onnx/op.h"

/* ---- texts ---- */

/* Decimal, with an optional sign, fraction and exponent. */
static bool read_number(bbw_str text, float *out) {
  size_t at = 0;
  bool is_negative = text.len > 0 && text.ptr[0] == '-', has_digits = false, is_fraction = false;
  double value = 0.0;
  int64_t shift = 0, power = 0;
  for (at = is_negative; at < text.len && text.len < 64; at++) {
    char c = text.ptr[at];
    if (c == '.' && !is_fraction) {
      is_fraction = true;
      continue;
    }
    if (c < '0' || c > '9') { break; }
    value = value * 10.0 + (double)(c - '0');
    shift -= is_fraction;
    has_digits = true;
  }
  if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
    bool is_small = ++at < text.len && text.ptr[at] == '-';
    if (at < text.len && (is_small || text.ptr[at] == '+')) { at++; }
    uint64_t size;
    if (!bbw_parse_u64((bbw_str){text.ptr + at, text.len - at}, &size) || size > 60) { return false; }
    power = is_small ? -(int64_t)size : (int64_t)size;
    at = text.len;
  }
  if (!has_digits || at != text.len) { return false; }
  for (power += shift; power > 0; power--) { value = value * 10.0; }
  double down = 1.0;
  for (; power < 0; power++) { down = down * 10.0; }
  value = value / down;
  *out = (float)(is_negative ? -value : value);
  return true;
}

/* One more line of a list. */
static bool next_line(bbw_str *rest, bbw_str *line) {
  if (rest->len == 0) { return false; }
  size_t len = 0;
  while (len < rest->len && rest->ptr[len] != '\n') { len++; }
  *line = (bbw_str){rest->ptr, len};
  size_t used = len < rest->len ? len + 1 : len;
  *rest = (bbw_str){rest->ptr + used, rest->len - used};
  return true;
}

static size_t line_count(bbw_str text) {
  size_t count = 0;
  for (bbw_str line; next_line(&text, &line);) { count++; }
  return count;
}

/* ---- options ---- */

typedef enum option_kind { NUMBER, TRUTH, WHOLE, SIGNED, TEXT, CHOICE, WEIGHTS, NAMES } option_kind;

typedef struct option {
  const char *name;
  option_kind kind;
  size_t offset;
  const char *choices[6]; /* in the order of their enum */
} option;

#define AT(field) offsetof(bbw_trainer_options, field)
static const option options[] = {
    {"loss", CHOICE, AT(loss), {"softmax-cross-entropy", "bce-with-logits", "mse", "huber", "output"}},
    {"output", TEXT, AT(output), {NULL}},
    {"ignored", SIGNED, AT(ignored), {NULL}},
    {"label_smoothing", NUMBER, AT(label_smoothing), {NULL}},
    {"huber_delta", NUMBER, AT(huber_delta), {NULL}},
    {"class_weights", WEIGHTS, 0, {NULL}},
    {"optimizer", CHOICE, AT(optimizer), {"sgd", "adam"}},
    {"rate", NUMBER, AT(rate), {NULL}},
    {"momentum", NUMBER, AT(momentum), {NULL}},
    {"nesterov", TRUTH, AT(is_nesterov), {NULL}},
    {"beta1", NUMBER, AT(beta1), {NULL}},
    {"beta2", NUMBER, AT(beta2), {NULL}},
    {"epsilon", NUMBER, AT(epsilon), {NULL}},
    {"weight_decay", NUMBER, AT(weight_decay), {NULL}},
    {"decoupled", TRUTH, AT(is_decoupled), {NULL}},
    {"clip_norm", NUMBER, AT(clip_norm), {NULL}},
    {"clip_value", NUMBER, AT(clip_value), {NULL}},
    {"schedule", CHOICE, AT(schedule), {"constant", "step", "cosine"}},
    {"warmup_steps", WHOLE, AT(warmup_steps), {NULL}},
    {"schedule_steps", WHOLE, AT(schedule_steps), {NULL}},
    {"schedule_factor", NUMBER, AT(schedule_factor), {NULL}},
    {"freeze", NAMES, 0, {NULL}},
    {"seed", WHOLE, AT(seed), {NULL}},
    {"state", CHOICE, AT(has_f16_state), {"f32", "f16"}},
};
enum { OPTION_COUNT = sizeof options / sizeof options[0] };

static bool is_text(bbw_str text, const char *wanted) { return bbw_str_equal(text, (bbw_str){wanted, strlen(wanted)}); }

static bbw_status refuse(bbw_error *err, bbw_str name, const char *detail) {
  bbw_error_set(err, BBW_E_ARG);
  bbw_error_add_str(err, "option", name);
  bbw_error_add_str(err, "value", name);
  bbw_error_add_str(err, "detail", (bbw_str){detail, strlen(detail)});
  return BBW_E_ARG;
}

static bool read_choice(const option *row, bbw_str text, void *to) {
  for (uint32_t i = 0; i < 6 && row->choices[i] != NULL; i++) {
    if (!is_text(text, row->choices[i])) { continue; }
    if (row->offset == AT(has_f16_state)) {
      *(bool *)to = i != 0;
    } else {
      memcpy(to, &i, sizeof i);
    }
    return true;
  }
  return false;
}
static_assert(sizeof(bbw_trainer_loss) == sizeof(uint32_t), "choices are stored as u32");

static bool read_signed(bbw_str text, int64_t *out) {
  bool is_negative = text.len > 0 && text.ptr[0] == '-';
  uint64_t size;
  if (!bbw_parse_u64((bbw_str){text.ptr + is_negative, text.len - is_negative}, &size) || size > INT64_MAX) {
    return false;
  }
  *out = is_negative ? -(int64_t)size : (int64_t)size;
  return true;
}

/* False for a text that is none; *rv says where memory ran out. */
static bool read_list(bbw_trainer_options *o, option_kind kind, bbw_str text, bbw_arena *arena, bbw_status *rv) {
  size_t count = line_count(text);
  bbw_str line;
  if (kind == NAMES) {
    bbw_str *names = bbw_arena_array(arena, count, sizeof *names);
    if (names == NULL) { *rv = BBW_E_NOMEM; }
    for (size_t i = 0; names != NULL && next_line(&text, &line); i++) { names[i] = line; }
    o->freeze = names;
    o->freeze_count = names != NULL ? count : 0;
    return true;
  }
  float *weights = bbw_arena_array(arena, count, sizeof *weights);
  if (weights == NULL) { *rv = BBW_E_NOMEM; }
  bool is_good = true;
  for (size_t i = 0; weights != NULL && is_good && next_line(&text, &line); i++) {
    is_good = read_number(line, &weights[i]);
  }
  o->class_weights = weights;
  o->class_count = weights != NULL ? count : 0;
  return is_good;
}

static bool read_option(bbw_trainer_options *o, const option *row, bbw_str text, bbw_arena *arena, bbw_status *rv) {
  void *to = (char *)o + row->offset;
  uint64_t whole = 0;
  switch (row->kind) {
  case NUMBER: return read_number(text, to);
  case WHOLE: return bbw_parse_u64(text, to);
  case SIGNED: o->has_ignored = text.len > 0; return text.len == 0 || read_signed(text, to);
  case TEXT: *(bbw_str *)to = text; return true;
  case CHOICE: return read_choice(row, text, to);
  case TRUTH:
    if (!bbw_parse_u64(text, &whole) || whole > 1) { return false; }
    *(bool *)to = whole == 1;
    return true;
  case WEIGHTS:
  case NAMES: break;
  }
  return read_list(o, row->kind, text, arena, rv);
}

static bbw_str name_of(const bbw_onnx_entry *entry, bbw_str prefix) {
  return (bbw_str){entry->key.ptr + prefix.len, entry->key.len - prefix.len};
}

bbw_status bbw_onnx_options_read(bbw_trainer_options *o, bbw_bytes bytes, bbw_arena *arena, bbw_error *err) {
  static const bbw_str prefix = {"bbw.train.", 10};
  const bbw_onnx_entry *last[OPTION_COUNT] = {NULL};
  bbw_onnx_model model;
  o->rate = 0.1f;
  BBW_TRY(bbw_onnx_model_decode(&model, bytes, arena, err));
  for (size_t i = 0; i < model.metadata_props.count; i++) {
    const bbw_onnx_entry *entry = BBW_PROTO_AT(&model.metadata_props, bbw_onnx_entry, i);
    if (!bbw_str_starts_with(entry->key, prefix)) { continue; }
    bbw_str name = name_of(entry, prefix);
    size_t row = 0;
    while (row < OPTION_COUNT && !is_text(name, options[row].name)) { row++; }
    if (row == OPTION_COUNT) { return refuse(err, name, "there is no such option"); }
    last[row] = entry;
  }
  for (size_t row = 0; row < OPTION_COUNT; row++) {
    bbw_status rv = BBW_OK;
    if (last[row] == NULL) { continue; }
    if (!read_option(o, &options[row], last[row]->value, arena, &rv)) {
      return refuse(err, name_of(last[row], prefix), "the value is not one of this option");
    }
    if (rv != BBW_OK) { return bbw_error_set(err, rv); }
  }
  return BBW_OK;
}
