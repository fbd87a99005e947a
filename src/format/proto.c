#include "format/proto.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

/* ---- elements ----------------------------------------------------------------------------------------------------- */

static size_t element_bytes(const bbw_proto_field *field) {
  switch ((bbw_proto_kind)field->kind) {
  case BBW_PROTO_I64: return sizeof(int64_t);
  case BBW_PROTO_I32: return sizeof(int32_t);
  case BBW_PROTO_U32: return sizeof(uint32_t);
  case BBW_PROTO_BOOL: return sizeof(bool);
  case BBW_PROTO_FLOAT: return sizeof(float);
  case BBW_PROTO_DOUBLE: return sizeof(double);
  case BBW_PROTO_STRING: return sizeof(bbw_str);
  case BBW_PROTO_BYTES: return sizeof(bbw_bytes);
  case BBW_PROTO_MESSAGE: return field->message->bytes;
  case BBW_PROTO_IGNORED: break;
  }
  return 0;
}

/* The wire type of one value, unpacked. */
static uint32_t wire_of(bbw_proto_kind kind) {
  switch (kind) {
  case BBW_PROTO_I64:
  case BBW_PROTO_I32:
  case BBW_PROTO_U32:
  case BBW_PROTO_BOOL: return BBW_WIRE_VARINT;
  case BBW_PROTO_FLOAT: return BBW_WIRE_FIXED32;
  case BBW_PROTO_DOUBLE: return BBW_WIRE_FIXED64;
  case BBW_PROTO_STRING:
  case BBW_PROTO_BYTES:
  case BBW_PROTO_MESSAGE:
  case BBW_PROTO_IGNORED: break;
  }
  return BBW_WIRE_BYTES;
}

static bool is_number(bbw_proto_kind kind) { return wire_of(kind) != BBW_WIRE_BYTES; }

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

typedef struct decode_frame {
  const bbw_proto_message *type;
  uint8_t *message;
  size_t end; /* where the message ends in the input */
} decode_frame;

typedef struct decoder {
  bbw_pbwire_reader reader;
  bbw_arena *arena;
  bbw_error *err;
  const bbw_proto_message *type; /* of the innermost message, for errors */
} decoder;

static bbw_status refuse(const decoder *d) {
  bool is_deep = strcmp(d->reader.reason, BBW_PBWIRE_DEPTH) == 0;
  bbw_status rv = bbw_error_set_at(d->err, is_deep ? BBW_E_DEPTH : BBW_E_PROTOBUF, d->reader.at);
  bbw_error_add_str(d->err, "reason", (bbw_str){d->reader.reason, strlen(d->reader.reason)});
  bbw_error_add_str(d->err, "message", (bbw_str){d->type->name, strlen(d->type->name)});
  return rv;
}

static bbw_status refuse_at(decoder *d, size_t at, const char *reason) {
  d->reader.at = at;
  d->reader.reason = reason;
  return refuse(d);
}

static bbw_status out_of_memory(const decoder *d) { return bbw_error_set(d->err, BBW_E_NOMEM); }

/* How many more messages of the field follow at once.  Asked when a long list grows; then there is room for all of them, so every one is counted once. */
static size_t count_ahead(const decoder *d, const bbw_proto_field *field) {
  bbw_pbwire_reader reader = d->reader;
  uint32_t number, wire;
  bbw_bytes content;
  size_t count = 0;
  while (reader.at != reader.end && bbw_pbwire_key(&reader, &number, &wire) && number == field->number &&
         wire == BBW_WIRE_BYTES && bbw_pbwire_view(&reader, &content)) {
    count++;
  }
  return count;
}

/*
 * Makes room for `extra` elements behind the list and returns the first of them, or NULL.  messages: the field, when they are messages; the list then grows for all that follow at once.  The capacity of a list of more than
 * one stands in front of its elements.
 */
#define LIST_HEADER_BYTES 16u /* keeps the elements as aligned as the arena does */

static uint8_t *list_extend(decoder *d, void *list_at, size_t element, size_t extra, const bbw_proto_field *messages) {
  bbw_proto_list list;
  memcpy(&list, list_at, sizeof(list));
  size_t need, cap = list.count;
  if (!bbw_size_add(list.count, extra, &need) || need > SIZE_MAX / 2) { return NULL; }
  if (cap > 1) { memcpy(&cap, (const uint8_t *)list.items - LIST_HEADER_BYTES, sizeof(cap)); }
  if (need > cap) {
    size_t header = need > 1 ? LIST_HEADER_BYTES : 0, bytes;
    size_t grown = need + (header != 0 && messages != NULL ? count_ahead(d, messages) : 0);
    if (grown < 2 * cap) { grown = 2 * cap; }
    if (!bbw_size_mul(grown, element, &bytes) || !bbw_size_add(bytes, header, &bytes)) { return NULL; }
    uint8_t *items = bbw_arena_array(d->arena, bytes, 1);
    if (items == NULL) { return NULL; }
    if (header != 0) { memcpy(items, &grown, sizeof(grown)); }
    items += header;
    if (list.count != 0) { memcpy(items, list.items, list.count * element); }
    list.items = items;
  }
  uint8_t *first = (uint8_t *)(uintptr_t)list.items + list.count * element;
  list.count = need;
  memcpy(list_at, &list, sizeof(list));
  return first;
}

/* One number into its place.  False when the reader failed. */
static bool read_number(bbw_pbwire_reader *reader, bbw_proto_kind kind, uint8_t *place) {
  uint64_t wide = 0;
  uint32_t word = 0;
  switch (wire_of(kind)) {
  case BBW_WIRE_FIXED32:
    if (!bbw_pbwire_fixed32(reader, &word)) { return false; }
    break;
  case BBW_WIRE_FIXED64:
    if (!bbw_pbwire_fixed64(reader, &wide)) { return false; }
    break;
  default:
    if (!bbw_pbwire_varint(reader, &wide)) { return false; }
    word = (uint32_t)wide;
    break;
  }
  if (kind == BBW_PROTO_BOOL) {
    bool flag = wide != 0;
    memcpy(place, &flag, sizeof(flag));
  } else if (kind == BBW_PROTO_I64 || kind == BBW_PROTO_DOUBLE) {
    memcpy(place, &wide, sizeof(wide));
  } else {
    memcpy(place, &word, sizeof(word));
  }
  return true;
}

/* A packed run.  The elements are counted first, so that one allocation proportional to the run holds them. */
static bbw_status read_packed(decoder *d, const bbw_proto_field *field, uint8_t *place) {
  bbw_proto_kind kind = (bbw_proto_kind)field->kind;
  size_t start = d->reader.at;
  bbw_bytes run;
  if (!bbw_pbwire_view(&d->reader, &run)) { return refuse(d); }
  size_t first = d->reader.at - run.len;
  size_t count = 0;
  if (wire_of(kind) == BBW_WIRE_VARINT) {
    for (size_t i = 0; i < run.len; i++) { count += run.ptr[i] < 0x80; }
  } else {
    size_t width = wire_of(kind) == BBW_WIRE_FIXED32 ? 4 : 8;
    if (run.len % width != 0) { return refuse_at(d, start, BBW_PBWIRE_TRUNCATED); }
    count = run.len / width;
  }
  if (run.len == 0) { return BBW_OK; }
  if (count == 0) { return refuse_at(d, start, BBW_PBWIRE_TRUNCATED); } /* bytes, but no number ends in them */
  size_t element = element_bytes(field);
  uint8_t *to = list_extend(d, place, element, count, NULL);
  if (to == NULL) { return out_of_memory(d); }
  bbw_pbwire_reader inner = {.bytes = d->reader.bytes, .at = first, .end = d->reader.at, .reason = NULL};
  for (size_t i = 0; i < count; i++) {
    if (!read_number(&inner, kind, to + i * element)) { return refuse_at(d, inner.at, inner.reason); }
  }
  if (inner.at != inner.end) { return refuse_at(d, inner.at, BBW_PBWIRE_TRUNCATED); }
  return BBW_OK;
}

static bbw_status read_text(decoder *d, bbw_proto_kind kind, uint8_t *place) {
  bbw_bytes view;
  if (!bbw_pbwire_view(&d->reader, &view)) { return refuse(d); }
  if (kind == BBW_PROTO_BYTES) {
    memcpy(place, &view, sizeof(view));
    return BBW_OK;
  }
  size_t bad;
  if (!bbw_utf8_is_valid(view, &bad)) {
    bbw_status rv = bbw_error_set_at(d->err, BBW_E_UTF8, d->reader.at - view.len + bad);
    bbw_error_add_str(d->err, "message", (bbw_str){d->type->name, strlen(d->type->name)});
    return rv;
  }
  bbw_str text = bbw_bytes_str(view);
  memcpy(place, &text, sizeof(text));
  return BBW_OK;
}

/* Clears the other members of the group that `field` belongs to, and marks it present. */
static void mark_present(const bbw_proto_message *type, const bbw_proto_field *field, uint8_t *message) {
  for (size_t i = 0; field->oneof != 0 && i < type->field_count; i++) {
    const bbw_proto_field *other = &type->fields[i];
    if (other == field || other->oneof != field->oneof || other->kind == BBW_PROTO_IGNORED) { continue; }
    size_t bytes = other->kind == BBW_PROTO_MESSAGE ? sizeof(void *) : element_bytes(other);
    memset(message + other->at, 0, bytes);
    if (other->has != 0) { memset(message + other->has, 0, sizeof(bool)); }
  }
  if (field->has != 0) {
    bool flag = true;
    memcpy(message + field->has, &flag, sizeof(flag));
  }
}

/* The struct that a sub-message is decoded into: the next list element, the one that is there already (it is merged into), or a
 * fresh one.  NULL when memory runs out. */
static uint8_t *message_place(decoder *d, const bbw_proto_field *field, uint8_t *place) {
  /* The place behind a list is zeroed: arena memory is, and elements are only ever appended. */
  if (field->is_repeated) { return list_extend(d, place, field->message->bytes, 1, field); }
  uint8_t *message;
  memcpy(&message, place, sizeof(message));
  if (message == NULL) {
    message = bbw_arena_array(d->arena, 1, field->message->bytes);
    if (message != NULL) { memcpy(place, &message, sizeof(message)); }
  }
  return message;
}

static const bbw_proto_field *find_field(const bbw_proto_message *type, uint32_t number) {
  for (size_t i = 0; i < type->field_count; i++) {
    if (type->fields[i].number == number) { return &type->fields[i]; }
  }
  return NULL;
}

/* Everything but messages: reads the value behind the key. */
static bbw_status read_plain(decoder *d, const bbw_proto_field *field, uint32_t wire, uint8_t *message) {
  bbw_proto_kind kind = (bbw_proto_kind)field->kind;
  uint8_t *place = message + field->at;
  if (field->is_repeated && is_number(kind) && wire == BBW_WIRE_BYTES) { return read_packed(d, field, place); }
  if (field->is_repeated) {
    place = list_extend(d, place, element_bytes(field), 1, NULL);
    if (place == NULL) { return out_of_memory(d); }
  }
  if (!is_number(kind)) { return read_text(d, kind, place); }
  return read_number(&d->reader, kind, place) ? BBW_OK : refuse(d);
}

bbw_status bbw_proto_decode(void *out, const bbw_proto_message *type, bbw_bytes bytes, bbw_arena *arena,
                            bbw_error *err) {
  decode_frame frames[BBW_PROTO_DEPTH_MAX + 1];
  size_t depth = 0;
  decoder d = {.reader = {.bytes = bytes.ptr, .end = bytes.len}, .arena = arena, .err = err, .type = type};
  memset(out, 0, type->bytes);
  frames[0] = (decode_frame){.type = type, .message = out, .end = bytes.len};
  for (;;) {
    decode_frame *frame = &frames[depth];
    if (d.reader.at == frame->end) {
      if (depth == 0) { return BBW_OK; }
      depth--;
      continue;
    }
    d.type = frame->type;
    d.reader.end = frame->end;
    size_t start = d.reader.at;
    uint32_t number, wire;
    if (!bbw_pbwire_key(&d.reader, &number, &wire)) { return refuse(&d); }
    const bbw_proto_field *field = find_field(frame->type, number);
    if (field == NULL) {
      if (!bbw_pbwire_skip(&d.reader, number, wire, depth)) { return refuse(&d); }
      continue;
    }
    bbw_proto_kind kind = (bbw_proto_kind)field->kind;
    bool is_packed = field->is_repeated && is_number(kind) && wire == BBW_WIRE_BYTES;
    if (wire != wire_of(kind) && !is_packed) { return refuse_at(&d, start, BBW_PBWIRE_WIRE_TYPE); }
    mark_present(frame->type, field, frame->message);
    if (kind == BBW_PROTO_IGNORED) {
      if (!bbw_pbwire_skip(&d.reader, number, wire, depth)) { return refuse(&d); }
      continue;
    }
    if (kind != BBW_PROTO_MESSAGE) {
      bbw_status rv = read_plain(&d, field, wire, frame->message);
      if (rv != BBW_OK) { return rv; }
      continue;
    }
    if (depth == BBW_PROTO_DEPTH_MAX) { return refuse_at(&d, start, BBW_PBWIRE_DEPTH); }
    bbw_bytes content;
    if (!bbw_pbwire_view(&d.reader, &content)) { return refuse(&d); }
    uint8_t *message = message_place(&d, field, frame->message + field->at);
    if (message == NULL) { return out_of_memory(&d); }
    frames[++depth] = (decode_frame){.type = field->message, .message = message, .end = d.reader.at};
    d.reader.at -= content.len;
  }
}

/* ---- encoding: from the last byte to the first -------------------------------------------------------------------- */

/*
 * A message's length stands before its content, so writing backwards needs no second walk for sizes: when the content is
 * written, its length is known.  The same walk with at == NULL only counts, which gives the exact buffer size.
 */
typedef struct encoder {
  uint8_t *at;    /* the first byte written so far, or NULL while counting */
  size_t written; /* bytes written so far */
  bool overflow;
} encoder;

typedef struct encode_frame {
  const bbw_proto_message *type;
  const uint8_t *message;
  size_t field; /* fields[field - 1] is next; 0 = all written */
  size_t item;  /* elements of that field that are still to write */
  bool is_open; /* `item` is valid */
  size_t end;   /* `written` when the message began */
} encode_frame;

static void put(encoder *e, const uint8_t *bytes, size_t len) {
  if (!bbw_size_add(e->written, len, &e->written)) { e->overflow = true; }
  if (e->at != NULL && len != 0) {
    e->at -= len;
    memcpy(e->at, bytes, len);
  }
}

static void put_varint(encoder *e, uint64_t value) {
  uint8_t bytes[10];
  put(e, bytes, bbw_pbwire_varint_write(value, bytes));
}

static void put_key(encoder *e, uint32_t number, uint32_t wire) { put_varint(e, (uint64_t)number << 3 | wire); }

static void put_number(encoder *e, bbw_proto_kind kind, const uint8_t *place) {
  uint8_t bytes[8];
  uint64_t wide = 0;
  uint32_t word = 0;
  int32_t sign = 0;
  bool flag = false;
  switch (kind) {
  case BBW_PROTO_I64: memcpy(&wide, place, sizeof(wide)); break;
  case BBW_PROTO_DOUBLE: memcpy(&wide, place, sizeof(wide)); break;
  case BBW_PROTO_I32:
    memcpy(&sign, place, sizeof(sign));
    wide = (uint64_t)(int64_t)sign;
    break;
  case BBW_PROTO_U32:
    memcpy(&word, place, sizeof(word));
    wide = word;
    break;
  case BBW_PROTO_BOOL:
    memcpy(&flag, place, sizeof(flag));
    wide = flag;
    break;
  default: memcpy(&word, place, sizeof(word)); break;
  }
  switch (wire_of(kind)) {
  case BBW_WIRE_FIXED32:
    bbw_store_u32le(bytes, word);
    put(e, bytes, 4);
    break;
  case BBW_WIRE_FIXED64:
    bbw_store_u64le(bytes, wide);
    put(e, bytes, 8);
    break;
  default: put_varint(e, wide); break;
  }
}

/* Equal to the proto3 default.  Minus zero is equal to zero here, as it is for the reference's codec. */
static bool number_is_default(bbw_proto_kind kind, const uint8_t *place, size_t bytes) {
  if (kind == BBW_PROTO_FLOAT) {
    float f;
    memcpy(&f, place, sizeof(f));
    return f == 0.0f;
  }
  if (kind == BBW_PROTO_DOUBLE) {
    double f;
    memcpy(&f, place, sizeof(f));
    return f == 0.0;
  }
  static const uint8_t zero[8];
  return memcmp(place, zero, bytes) == 0;
}

static bbw_bytes view_at(bbw_proto_kind kind, const uint8_t *place) {
  bbw_bytes view;
  if (kind == BBW_PROTO_BYTES) {
    memcpy(&view, place, sizeof(view));
    return view;
  }
  bbw_str text;
  memcpy(&text, place, sizeof(text));
  return bbw_str_bytes(text);
}

static void put_view(encoder *e, uint32_t number, bbw_bytes view) {
  put(e, view.ptr, view.len);
  put_varint(e, view.len);
  put_key(e, number, BBW_WIRE_BYTES);
}

static bool is_marked(const bbw_proto_field *field, const uint8_t *message) {
  bool flag = false;
  if (field->has != 0) { memcpy(&flag, message + field->has, sizeof(flag)); }
  return flag;
}

static void put_single(encoder *e, const bbw_proto_field *field, const uint8_t *message) {
  bbw_proto_kind kind = (bbw_proto_kind)field->kind;
  const uint8_t *place = message + field->at;
  bool is_forced = is_marked(field, message);
  if (field->has != 0 && !is_forced) { return; }
  if (!is_number(kind)) {
    bbw_bytes view = view_at(kind, place);
    if (view.len != 0 || is_forced) { put_view(e, field->number, view); }
    return;
  }
  if (!is_forced && number_is_default(kind, place, element_bytes(field))) { return; }
  put_number(e, kind, place);
  put_key(e, field->number, wire_of(kind));
}

static void put_list(encoder *e, const bbw_proto_field *field, const bbw_proto_list *list) {
  bbw_proto_kind kind = (bbw_proto_kind)field->kind;
  const uint8_t *items = list->items;
  size_t element = element_bytes(field);
  size_t end = e->written;
  for (size_t i = list->count; i > 0; i--) {
    const uint8_t *place = items + (i - 1) * element;
    if (is_number(kind)) {
      put_number(e, kind, place);
    } else {
      put_view(e, field->number, view_at(kind, place));
    }
  }
  if (is_number(kind) && list->count != 0) {
    put_varint(e, e->written - end);
    put_key(e, field->number, BBW_WIRE_BYTES);
  }
}

/* The next sub-message to write of a message field, from last to first; NULL when there is none left. */
static const uint8_t *next_child(encode_frame *frame, const bbw_proto_field *field) {
  if (!field->is_repeated) {
    if (frame->is_open) { return NULL; }
    frame->is_open = true;
    const uint8_t *child;
    memcpy(&child, frame->message + field->at, sizeof(child));
    return child;
  }
  bbw_proto_list list;
  memcpy(&list, frame->message + field->at, sizeof(list));
  if (!frame->is_open) {
    frame->is_open = true;
    frame->item = list.count;
  }
  if (frame->item == 0) { return NULL; }
  frame->item--;
  return (const uint8_t *)list.items + frame->item * field->message->bytes;
}

static bbw_status encode_walk(encoder *e, const void *message, const bbw_proto_message *type) {
  encode_frame frames[BBW_PROTO_DEPTH_MAX + 1];
  size_t depth = 0;
  frames[0] = (encode_frame){.type = type, .message = message, .field = type->field_count};
  for (;;) {
    encode_frame *frame = &frames[depth];
    if (frame->field == 0) {
      if (depth == 0) { return BBW_OK; }
      put_varint(e, e->written - frame->end);
      depth--;
      put_key(e, frames[depth].type->fields[frames[depth].field - 1].number, BBW_WIRE_BYTES);
      continue;
    }
    const bbw_proto_field *field = &frame->type->fields[frame->field - 1];
    if (field->kind == BBW_PROTO_MESSAGE) {
      const uint8_t *child = next_child(frame, field);
      if (child != NULL) {
        if (depth == BBW_PROTO_DEPTH_MAX) { return BBW_E_DEPTH; }
        frames[++depth] = (encode_frame){
            .type = field->message, .message = child, .field = field->message->field_count, .end = e->written};
        continue;
      }
    } else if (field->kind != BBW_PROTO_IGNORED && field->is_repeated) {
      bbw_proto_list list;
      memcpy(&list, frame->message + field->at, sizeof(list));
      put_list(e, field, &list);
    } else if (field->kind != BBW_PROTO_IGNORED) {
      put_single(e, field, frame->message);
    }
    frame->field--;
    frame->is_open = false;
  }
}

bbw_status bbw_proto_encode(bbw_bytes *out, const void *message, const bbw_proto_message *type, bbw_arena *arena) {
  encoder count = {.at = NULL};
  bbw_status rv = encode_walk(&count, message, type);
  if (rv != BBW_OK) { return rv; }
  if (count.overflow) { return BBW_E_NOMEM; }
  uint8_t *bytes = bbw_arena_array(arena, count.written, 1);
  if (bytes == NULL) { return BBW_E_NOMEM; }
  encoder write = {.at = bytes + count.written};
  rv = encode_walk(&write, message, type);
  if (rv != BBW_OK) { return rv; }
  *out = (bbw_bytes){bytes, count.written};
  return BBW_OK;
}
