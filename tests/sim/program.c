#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BB "ai.bytesandbrains."
enum { WORDS_MAX = 32, ONNX_INT = 2, ONNX_STRING = 3, ONNX_F32 = 1 };

static void give_up(const char *what, const char *text, size_t len) {
  fprintf(stderr, "sim: program: %s: %.*s\n", what, (int)len, text);
  exit(3);
}

/* ---- protobuf ---- */

static void put_varint(sim_buf *buf, uint64_t value) {
  for (; value > 0x7f; value >>= 7) { sim_buf_u8(buf, (uint8_t)(value | 0x80)); }
  sim_buf_u8(buf, (uint8_t)value);
}

static void put_number(sim_buf *buf, uint32_t field, uint64_t value) {
  put_varint(buf, (uint64_t)field << 3);
  put_varint(buf, value);
}

static void put_bytes(sim_buf *buf, uint32_t field, const void *bytes, size_t len) {
  put_varint(buf, (uint64_t)field << 3 | 2);
  put_varint(buf, len);
  sim_buf_put(buf, bytes, len);
}

static void put_text(sim_buf *buf, uint32_t field, const char *text) { put_bytes(buf, field, text, strlen(text)); }

/* Takes the part over. */
static void put_message(sim_buf *buf, uint32_t field, sim_buf *part) {
  put_bytes(buf, field, part->bytes, part->len);
  sim_buf_free(part);
}

static void put_entry(sim_buf *buf, uint32_t field, bbw_bytes key, bbw_bytes value) {
  sim_buf entry = {NULL, 0, 0};
  put_bytes(&entry, 1, key.ptr, key.len);
  put_bytes(&entry, 2, value.ptr, value.len);
  put_message(buf, field, &entry);
}

/* ---- words ---- */

typedef struct words {
  bbw_str items[WORDS_MAX];
  size_t count;
} words;

static words split(bbw_str text, char mark) {
  words out = {.count = 0};
  size_t start = 0;
  for (size_t i = 0; i <= text.len; i++) {
    if (i != text.len && text.ptr[i] != mark) { continue; }
    if (i > start) {
      if (out.count == WORDS_MAX) { give_up("too many words", text.ptr, text.len); }
      out.items[out.count++] = (bbw_str){text.ptr + start, i - start};
    }
    start = i + 1;
  }
  return out;
}

static bool is_word(bbw_str word, const char *text) {
  return word.len == strlen(text) && memcmp(word.ptr, text, word.len) == 0;
}

static bool starts_with(bbw_str word, const char *text) {
  return word.len >= strlen(text) && memcmp(word.ptr, text, strlen(text)) == 0;
}

static size_t find(bbw_str text, char mark) {
  const char *at = memchr(text.ptr, mark, text.len);
  if (at == NULL) { give_up("a mark is missing", text.ptr, text.len); }
  return (size_t)(at - text.ptr);
}

/* Names before and behind the arrow, into two fields. */
static void put_names(sim_buf *buf, const words *w, size_t from, uint32_t before, uint32_t behind) {
  uint32_t field = before;
  for (size_t i = from; i < w->count; i++) {
    if (is_word(w->items[i], "->")) {
      field = behind;
    } else {
      put_bytes(buf, field, w->items[i].ptr, w->items[i].len);
    }
  }
}

size_t sim_route(const char *partition, size_t partition_len, const char *value, size_t value_len, uint8_t out[16]) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < partition_len; i++) { hash = (hash ^ (uint8_t)partition[i]) * 0x100000001b3u; }
  hash *= 0x100000001b3u; /* the zero byte */
  for (size_t i = 0; i < value_len; i++) { hash = (hash ^ (uint8_t)value[i]) * 0x100000001b3u; }
  size_t len = 0;
  bbw_segment site = {.kind = BBW_SEGMENT_SITE, .number = hash | UINT64_C(1) << 63};
  if (bbw_address_append(out, 16, &len, &site) != BBW_OK) { give_up("no route", value, value_len); }
  return len;
}

static void put_attribute(sim_buf *node, bbw_str text) {
  sim_buf attribute = {NULL, 0, 0};
  size_t equals = find(text, '=');
  bbw_str name = {text.ptr, equals}, value = {text.ptr + equals + 1, text.len - equals - 1};
  if (starts_with(name, "to.")) {
    static const char prefix[] = BB "dest_suffix.";
    char full[96];
    size_t dot = find(value, '.');
    uint8_t route[16];
    size_t len = sim_route(value.ptr, dot, value.ptr + dot + 1, value.len - dot - 1, route);
    int n = snprintf(full, sizeof(full), "%s%.*s", prefix, (int)name.len - 3, name.ptr + 3);
    put_bytes(&attribute, 1, full, (size_t)n);
    put_bytes(&attribute, 4, route, len);
    put_number(&attribute, 20, ONNX_STRING);
  } else if (value.len >= 2 && value.ptr[0] == '\'') {
    put_bytes(&attribute, 1, name.ptr, name.len);
    put_bytes(&attribute, 4, value.ptr + 1, value.len - 2);
    put_number(&attribute, 20, ONNX_STRING);
  } else {
    put_bytes(&attribute, 1, name.ptr, name.len);
    put_number(&attribute, 3, strtoull(value.ptr, NULL, 10));
    put_number(&attribute, 20, ONNX_INT);
  }
  put_message(node, 5, &attribute);
}

static sim_buf node_of(bbw_str line) {
  sim_buf node = {NULL, 0, 0};
  words halves = split(line, '|');
  words w = split(halves.items[0], ' ');
  size_t colons = find(w.items[0], ':');
  bbw_str domain = {w.items[0].ptr, colons};
  char full[96];
  int n = is_word(domain, "onnx") ? snprintf(full, sizeof(full), "ai.onnx")
                                  : snprintf(full, sizeof(full), BB "%.*s", (int)domain.len, domain.ptr);
  put_names(&node, &w, 1, 1, 2);
  put_bytes(&node, 4, w.items[0].ptr + colons + 2, w.items[0].len - colons - 2);
  if (halves.count > 1) {
    words list = split(halves.items[1], ' ');
    for (size_t i = 0; i < list.count; i++) { put_attribute(&node, list.items[i]); }
  }
  put_bytes(&node, 7, full, (size_t)n);
  return node;
}

/* "slot E model Model|OnnxModel"; the id -1 says that no operator names the slot by number. */
static void put_slot(sim_buf *model, const words *w) {
  char key[96], value[96];
  int k = snprintf(key, sizeof(key), BB "binding.%.*s.%.*s", (int)w->items[1].len, w->items[1].ptr,
                   (int)w->items[2].len, w->items[2].ptr);
  int v = snprintf(value, sizeof(value), "%.*s|-1", (int)w->items[3].len, w->items[3].ptr);
  put_entry(model, 14, (bbw_bytes){(const uint8_t *)key, (size_t)k}, (bbw_bytes){(const uint8_t *)value, (size_t)v});
}

sim_buf sim_program(const char *text) {
  static const char compiled[] = BB "compiled";
  sim_buf model = {NULL, 0, 0}, function = {NULL, 0, 0};
  put_entry(&model, 14, (bbw_bytes){(const uint8_t *)compiled, sizeof(compiled) - 1},
            (bbw_bytes){(const uint8_t *)"v1", 2});
  words lines = split((bbw_str){text, strlen(text)}, '\n');
  for (size_t i = 0; i < lines.count; i++) {
    words w = split(lines.items[i], ' ');
    if (is_word(w.items[0], "slot")) {
      put_slot(&model, &w);
    } else if (is_word(w.items[0], "target")) {
      if (function.len != 0) { put_message(&model, 25, &function); }
      put_bytes(&function, 1, w.items[1].ptr, w.items[1].len);
      put_names(&function, &w, 2, 4, 5);
    } else {
      sim_buf node = node_of(lines.items[i]);
      put_message(&function, 7, &node);
    }
  }
  put_message(&model, 25, &function);
  return model;
}

/* ---- the model ---- */

static void put_weights(sim_buf *graph, sim_rng *rng, const char *name, uint64_t rows, uint64_t columns) {
  sim_buf tensor = {NULL, 0, 0}, data = {NULL, 0, 0};
  if (rows != 0) { put_number(&tensor, 1, rows); }
  put_number(&tensor, 1, columns);
  put_number(&tensor, 2, ONNX_F32);
  put_text(&tensor, 8, name);
  for (uint64_t i = 0; i < (rows == 0 ? 1 : rows) * columns; i++) {
    float weight = (float)((int64_t)sim_rng_below(rng, 2049) - 1024) / 1024.0f;
    uint32_t bits;
    memcpy(&bits, &weight, sizeof(bits));
    sim_buf_u32(&data, bits);
  }
  put_message(&tensor, 9, &data);
  put_message(graph, 5, &tensor);
}

static void put_gemm(sim_buf *graph, const char *const names[4], const char *op_type) {
  sim_buf node = {NULL, 0, 0};
  for (size_t i = 0; i < 3; i++) {
    if (names[i] != NULL) { put_text(&node, 1, names[i]); }
  }
  put_text(&node, 2, names[3]);
  put_text(&node, 4, op_type);
  put_message(graph, 1, &node);
}

static void put_value(sim_buf *graph, uint32_t field, const char *name, uint64_t width) {
  sim_buf info = {NULL, 0, 0}, type = {NULL, 0, 0}, tensor = {NULL, 0, 0}, shape = {NULL, 0, 0}, dim = {NULL, 0, 0};
  put_text(&dim, 2, "n");
  put_message(&shape, 1, &dim);
  put_number(&dim, 1, width);
  put_message(&shape, 1, &dim);
  put_number(&tensor, 1, ONNX_F32);
  put_message(&tensor, 2, &shape);
  put_message(&type, 1, &tensor);
  put_text(&info, 1, name);
  put_message(&info, 2, &type);
  put_message(graph, field, &info);
}

sim_buf sim_model(uint64_t seed) {
  sim_rng rng = sim_rng_new(seed, 0x6d6f64656c);
  sim_buf model = {NULL, 0, 0}, graph = {NULL, 0, 0}, opset = {NULL, 0, 0};
  put_gemm(&graph, (const char *const[4]){"x", "w1", "b1", "h"}, "Gemm");
  put_gemm(&graph, (const char *const[4]){"h", NULL, NULL, "r"}, "Relu");
  put_gemm(&graph, (const char *const[4]){"r", "w2", "b2", "y"}, "Gemm");
  put_text(&graph, 2, "g");
  put_weights(&graph, &rng, "w1", SIM_MODEL_INPUTS, 3);
  put_weights(&graph, &rng, "b1", 0, 3);
  put_weights(&graph, &rng, "w2", 3, SIM_MODEL_CLASSES);
  put_weights(&graph, &rng, "b2", 0, SIM_MODEL_CLASSES);
  put_value(&graph, 11, "x", SIM_MODEL_INPUTS);
  put_value(&graph, 12, "y", SIM_MODEL_CLASSES);
  put_number(&model, 1, 8);
  put_message(&model, 7, &graph);
  put_number(&opset, 2, 17);
  put_message(&model, 8, &opset);
  return model;
}
