#include "artifact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "format/onnx.h"

#define WORDS_MAX     64
#define FUNCTIONS_MAX 16
#define SLOTS_MAX     4
#define BB            "ai.bytesandbrains."

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
      if (out.count == WORDS_MAX) { abort(); }
      out.items[out.count++] = (bbw_str){text.ptr + start, i - start};
    }
    start = i + 1;
  }
  return out;
}

static void *array(bbw_arena *arena, size_t count, size_t size) {
  void *out = bbw_arena_array(arena, count, size);
  if (out == NULL) { abort(); }
  return out;
}

static bbw_proto_list names(bbw_arena *arena, const words *w, size_t from, size_t to) {
  bbw_str *list = array(arena, to - from, sizeof(*list));
  for (size_t i = from; i < to; i++) {
    list[i - from] = bbw_str_equal(w->items[i], BBW_STR("-")) ? BBW_STR("") : w->items[i];
  }
  return (bbw_proto_list){list, to - from};
}

static size_t arrow_of(const words *w) {
  for (size_t i = 0; i < w->count; i++) {
    if (bbw_str_equal(w->items[i], BBW_STR("->"))) { return i; }
  }
  return w->count;
}

static bbw_bytes hex_of(bbw_arena *arena, bbw_str text) {
  uint8_t *out = array(arena, text.len / 2, 1);
  for (size_t i = 0; i + 1 < text.len; i += 2) {
    char two[3] = {text.ptr[i], text.ptr[i + 1], '\0'};
    out[i / 2] = (uint8_t)strtoul(two, NULL, 16);
  }
  return (bbw_bytes){out, text.len / 2};
}

static bbw_onnx_attribute attribute_of(bbw_arena *arena, bbw_str text) {
  const char *equals = memchr(text.ptr, '=', text.len);
  if (equals == NULL) { abort(); }
  bbw_onnx_attribute attribute = {.name = {text.ptr, (size_t)(equals - text.ptr)}};
  bbw_str value = {equals + 1, text.len - attribute.name.len - 1};
  if (value.len != 0 && value.ptr[0] == '@') {
    attribute.type = BBW_ONNX_ATTR_STRING;
    attribute.s = hex_of(arena, (bbw_str){value.ptr + 1, value.len - 1});
  } else if (value.len >= 2 && value.ptr[0] == '\'') {
    attribute.type = BBW_ONNX_ATTR_STRING;
    attribute.s = bbw_str_bytes((bbw_str){value.ptr + 1, value.len - 2});
  } else if (bbw_parse_i64(value, &attribute.i)) {
    attribute.type = BBW_ONNX_ATTR_INT;
  } else {
    abort();
  }
  return attribute;
}

static bbw_str domain_of(bbw_arena *arena, bbw_str word) {
  if (bbw_str_equal(word, BBW_STR("onnx"))) { return BBW_STR("ai.onnx"); }
  bool is_role = bbw_str_starts_with(word, BBW_STR("role."));
  if (!is_role && memchr(word.ptr, '.', word.len) != NULL) { return word; }
  char *text = array(arena, sizeof(BB) + word.len, 1);
  memcpy(text, BB, sizeof(BB) - 1);
  memcpy(text + sizeof(BB) - 1, word.ptr, word.len);
  return (bbw_str){text, sizeof(BB) - 1 + word.len};
}

static bool is_function(bbw_str word) {
  return bbw_str_equal(word, BBW_STR("target")) || bbw_str_equal(word, BBW_STR("function")) ||
         bbw_str_equal(word, BBW_STR("bootstrap"));
}

static bbw_onnx_node node_of(bbw_arena *arena, bbw_str line) {
  words halves = split(line, '|');
  words w = split(halves.items[0], ' ');
  size_t arrow = arrow_of(&w);
  bbw_onnx_node node = {.input = names(arena, &w, 1, arrow),
                        .output = names(arena, &w, arrow == w.count ? arrow : arrow + 1, w.count)};
  const char *colons = memchr(w.items[0].ptr, ':', w.items[0].len);
  if (colons == NULL) { abort(); }
  size_t len = (size_t)(colons - w.items[0].ptr);
  node.domain = domain_of(arena, (bbw_str){w.items[0].ptr, len});
  node.op_type = (bbw_str){colons + 2, w.items[0].len - len - 2};
  if (halves.count > 1) {
    words list = split(halves.items[1], ' ');
    bbw_onnx_attribute *attributes = array(arena, list.count, sizeof(*attributes));
    bbw_onnx_entry *metadata = array(arena, list.count, sizeof(*metadata));
    size_t attribute_count = 0, metadata_count = 0;
    for (size_t i = 0; i < list.count; i++) {
      bool is_metadata = list.items[i].ptr[0] == '%';
      bbw_str text = {list.items[i].ptr + is_metadata, list.items[i].len - is_metadata};
      bbw_onnx_attribute one = attribute_of(arena, text);
      if (is_metadata) {
        metadata[metadata_count++] = (bbw_onnx_entry){one.name, bbw_bytes_str(one.s)};
      } else {
        attributes[attribute_count++] = one;
      }
    }
    node.attribute = (bbw_proto_list){attributes, attribute_count};
    node.metadata_props = (bbw_proto_list){metadata, metadata_count};
  }
  return node;
}

static bbw_str joined(bbw_arena *arena, const char *head, bbw_str tail) {
  size_t len = strlen(head);
  char *text = array(arena, len + tail.len, 1);
  memcpy(text, head, len);
  memcpy(text + len, tail.ptr, tail.len);
  return (bbw_str){text, len + tail.len};
}

/* "slot m Model|Probe": the id -1 says that no node names the slot by number. */
static bbw_onnx_entry binding_of(bbw_arena *arena, const words *w) {
  bbw_str value = {array(arena, w->items[2].len + 3, 1), w->items[2].len + 3};
  memcpy((char *)(uintptr_t)value.ptr, w->items[2].ptr, w->items[2].len);
  memcpy((char *)(uintptr_t)value.ptr + w->items[2].len, "|-1", 3);
  return (bbw_onnx_entry){joined(arena, BB "binding.M.", w->items[1]), value};
}

bbw_bytes artifact(bbw_arena *arena, const char *text) {
  static const bbw_onnx_entry phase = {{BB "module_phase", sizeof(BB "module_phase") - 1}, {"bootstrap", 9}};
  words lines = split((bbw_str){text, strlen(text)}, '\n');
  bbw_onnx_function *functions = array(arena, FUNCTIONS_MAX, sizeof(*functions));
  bbw_onnx_node *nodes = array(arena, lines.count, sizeof(*nodes));
  bbw_onnx_entry entries[1 + SLOTS_MAX] = {{{BB "compiled", sizeof(BB "compiled") - 1}, {"v1", 2}}};
  size_t count = 0, entry_count = 1;
  for (size_t i = 0; i < lines.count; i++) {
    words w = split(lines.items[i], ' ');
    if (bbw_str_equal(w.items[0], BBW_STR("slot"))) {
      if (entry_count == 1 + SLOTS_MAX || w.count != 3) { abort(); }
      entries[entry_count++] = binding_of(arena, &w);
    } else if (is_function(w.items[0])) {
      size_t arrow = arrow_of(&w);
      if (count == FUNCTIONS_MAX) { abort(); }
      functions[count++] = (bbw_onnx_function){
          .name = w.items[1],
          .input = names(arena, &w, 2, arrow),
          .output = names(arena, &w, arrow == w.count ? arrow : arrow + 1, w.count),
          .node = {&nodes[i + 1], 0},
      };
      if (bbw_str_equal(w.items[0], BBW_STR("bootstrap"))) {
        functions[count - 1].metadata_props = (bbw_proto_list){&phase, 1};
      }
    } else {
      if (count == 0) { abort(); }
      nodes[i] = node_of(arena, lines.items[i]);
      functions[count - 1].node.count++;
    }
  }
  bbw_onnx_model model = {.metadata_props = {entries, entry_count}, .functions = {functions, count}};
  bbw_bytes out;
  if (bbw_proto_encode(&out, &model, &bbw_onnx_model_type, arena) != BBW_OK) { abort(); }
  return out;
}

bbw_node *artifact_install(const char *text, const bbw_config *config, const bbw_mem *mem, bbw_error *err) {
  return artifact_install_with(text, config, NULL, 0, mem, err);
}

bbw_node *artifact_install_with(const char *text, const bbw_config *config, const bbw_component_type *const *types,
                                size_t type_count, const bbw_mem *mem, bbw_error *err) {
  static const uint8_t own_address[] = {0xa5, 0x03, 0x0a, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 1};
  bbw_arena arena;
  bbw_arena_init(&arena, &bbw_mem_libc);
  bbw_bytes address = {own_address, sizeof(own_address)};
  bbw_str target = BBW_STR("M");
  bbw_install_options options = {
      .peer_id = bbw_peer_id_from_u64(1),
      .addresses = &address,
      .address_count = 1,
      .model = artifact(&arena, text),
      .targets = &target,
      .target_count = 1,
      .config = config,
      .component_types = types,
      .component_type_count = type_count,
      .is_unresolved_allowed = true,
  };
  bbw_node *node = NULL;
  (void)bbw_node_install(&node, &options, mem, err);
  bbw_arena_free(&arena);
  return node;
}
