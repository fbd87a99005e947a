/*
 * Our protobuf codecs against code that protobuf-c generates from proto/: both must accept the same files, and what one of them writes
 * the other must read as the same message.
 *
 * usage: protobuf_c FILE...      *.pb are models, *.bin are envelopes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bb_core.pb-c.h"
#include "onnx-subset.pb-c.h"

#include "base/bytes.h"
#include "format/envelope.h"
#include "format/pbwire.h"
#include "format/onnx.h"

typedef struct outcome {
  bool is_ours, is_theirs; /* accepted */
  bool is_same;
} outcome;

/* Ours reads what theirs wrote from the same input, and writes what it would have written itself. */
static outcome compare_model(bbw_bytes input, bbw_arena *arena) {
  outcome result = {false, false, true};
  bbw_onnx_model model, again;
  bbw_bytes own, other;
  Onnx__ModelProto *theirs = onnx__model_proto__unpack(NULL, input.len, input.ptr);
  result.is_ours = bbw_proto_decode(&model, &bbw_onnx_model_type, input, arena, NULL) == BBW_OK;
  result.is_theirs = theirs != NULL;
  if (result.is_ours && result.is_theirs) {
    size_t size = onnx__model_proto__get_packed_size(theirs);
    uint8_t *packed = malloc(size + 1);
    (void)onnx__model_proto__pack(theirs, packed);
    result.is_same = bbw_proto_encode(&own, &model, &bbw_onnx_model_type, arena) == BBW_OK &&
                     bbw_proto_decode(&again, &bbw_onnx_model_type, (bbw_bytes){packed, size}, arena, NULL) == BBW_OK &&
                     bbw_proto_encode(&other, &again, &bbw_onnx_model_type, arena) == BBW_OK &&
                     bbw_bytes_equal(own, other);
    Onnx__ModelProto *of_ours = onnx__model_proto__unpack(NULL, own.len, own.ptr);
    result.is_same = result.is_same && of_ours != NULL;
    if (of_ours != NULL) { onnx__model_proto__free_unpacked(of_ours, NULL); }
    free(packed);
  }
  if (theirs != NULL) { onnx__model_proto__free_unpacked(theirs, NULL); }
  return result;
}

/* Changes of every envelope. */
#define CHANGED_ROUNDS 2000u

static outcome compare_envelope(bbw_bytes input, bbw_arena *arena) {
  outcome result = {false, false, true};
  bbw_envelope_caps caps = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
  bbw_envelope envelope, again;
  Bb__Core__WireEnvelope *theirs = bb__core__wire_envelope__unpack(NULL, input.len, input.ptr);
  bbw_status rv = bbw_envelope_decode(&envelope, input, &caps, arena, NULL);
  result.is_ours = rv == BBW_OK || rv == BBW_E_ENV_VERSION; /* the version is not protobuf's business */
  result.is_theirs = theirs != NULL;
  if (rv == BBW_OK && theirs != NULL) {
    size_t size = bb__core__wire_envelope__get_packed_size(theirs), own_size = bbw_envelope_size(&envelope);
    uint8_t *packed = malloc(size + 1), *own = malloc(own_size + 1), *other = malloc(own_size + 1);
    (void)bb__core__wire_envelope__pack(theirs, packed);
    bbw_envelope_encode(&envelope, own);
    result.is_same = bbw_envelope_decode(&again, (bbw_bytes){packed, size}, &caps, arena, NULL) == BBW_OK &&
                     bbw_envelope_size(&again) == own_size;
    if (result.is_same) {
      bbw_envelope_encode(&again, other);
      result.is_same = memcmp(own, other, own_size) == 0;
    }
    free(packed);
    free(own);
    free(other);
  }
  if (theirs != NULL) { bb__core__wire_envelope__free_unpacked(theirs, NULL); }
  return result;
}

/* A number that follows from `state` alone (SplitMix64). */
static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Bits turned over, bytes replaced, cut out, doubled: up to four of these, in `bytes` with room for twice its length. */
static size_t mutate(uint8_t *bytes, size_t len, uint64_t *state) {
  for (uint64_t n = next_random(state) % 4 + 1; n != 0 && len != 0; n--) {
    size_t at = (size_t)(next_random(state) % len), span = (size_t)(next_random(state) % 8) + 1;
    if (span > len - at) { span = len - at; }
    switch (next_random(state) % 4) {
    case 0: bytes[at] ^= (uint8_t)(1u << next_random(state) % 8); break;
    case 1: bytes[at] = (uint8_t)next_random(state); break;
    case 2:
      memmove(bytes + at, bytes + at + span, len - at - span);
      len -= span;
      break;
    default: memmove(bytes + at + span, bytes + at, len - at); len += span;
    }
  }
  return len;
}

/*
 * Where protobuf-c is not the measure: it does not merge a correlation that is given twice as the rules say (the reference does), and takes keys of at most five bytes (the reference takes
 * any spelling of 32 bits).
 */
static bool is_beyond_theirs(bbw_bytes bytes) {
  bbw_pbwire_reader reader = {.bytes = bytes.ptr, .end = bytes.len};
  unsigned correlations = 0;
  while (reader.at < reader.end) {
    uint32_t number, wire;
    size_t start = reader.at;
    if (!bbw_pbwire_key(&reader, &number, &wire)) { return false; }
    correlations += number == 3;
    if (reader.at - start > 5 || correlations > 1) { return true; }
    bbw_bytes content;
    if ((number == 2 || number == 3 || number == 5) && wire == BBW_WIRE_BYTES) {
      if (!bbw_pbwire_view(&reader, &content)) { return false; }
      bbw_pbwire_reader inner = {.bytes = content.ptr, .end = content.len};
      while (inner.at < inner.end) {
        start = inner.at;
        if (!bbw_pbwire_key(&inner, &number, &wire)) { return false; }
        if (inner.at - start > 5) { return true; }
        if (!bbw_pbwire_skip(&inner, number, wire, 1)) { return false; }
      }
    } else if (!bbw_pbwire_skip(&reader, number, wire, 0)) {
      return false;
    }
  }
  return false;
}

/* Envelopes changed at random: what ours takes, theirs takes, and they mean the same.  How many ours alone refuses is printed (groups and numbers that are too long aside, none are expected). */
static unsigned compare_changed(bbw_bytes input, unsigned rounds, unsigned *taken, unsigned *stricter) {
  unsigned wrong = 0;
  uint8_t *bytes = malloc(2 * input.len + 64);
  for (unsigned round = 0; round < rounds; round++) {
    uint64_t state = round;
    memcpy(bytes, input.ptr, input.len);
    size_t len = mutate(bytes, input.len, &state);
    uint8_t *exact = malloc(len + 1);
    memcpy(exact, bytes, len);
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    outcome got = compare_envelope((bbw_bytes){exact, len}, &arena);
    if (is_beyond_theirs((bbw_bytes){exact, len})) { got = (outcome){false, false, true}; }
    if (!got.is_same || (got.is_ours && !got.is_theirs)) {
      wrong++;
      (void)printf("round %u: ours %d, theirs %d, same %d:", round, got.is_ours, got.is_theirs, got.is_same);
      for (size_t i = 0; i < len && i < 200; i++) { (void)printf(" %02x", exact[i]); }
      (void)printf("\n");
    }
    *taken += got.is_ours;
    *stricter += !got.is_ours && got.is_theirs;
    bbw_arena_free(&arena);
    free(exact);
  }
  free(bytes);
  return wrong;
}

int main(int argc, char **argv) {
  unsigned same = 0, refused = 0, stricter = 0, wrong = 0, changed_taken = 0, changed_stricter = 0;
  for (int i = 1; i < argc; i++) {
    static uint8_t buffer[1u << 22];
    FILE *file = fopen(argv[i], "rb");
    if (file == NULL) {
      perror(argv[i]);
      return 1;
    }
    size_t len = fread(buffer, 1, sizeof(buffer), file);
    (void)fclose(file);
    uint8_t *exact = malloc(len + 1);
    memcpy(exact, buffer, len);
    bbw_arena arena;
    bbw_arena_init(&arena, &bbw_mem_libc);
    bool is_model = strlen(argv[i]) > 3 && strcmp(argv[i] + strlen(argv[i]) - 3, ".pb") == 0;
    bbw_bytes input = {exact, len};
    outcome got = is_model ? compare_model(input, &arena) : compare_envelope(input, &arena);
    bool is_wrong = !got.is_same || (got.is_ours && !got.is_theirs);
    if (is_wrong) {
      (void)printf("%s: ours %d, theirs %d, same %d\n", argv[i], got.is_ours, got.is_theirs, got.is_same);
    }
    wrong += is_wrong;
    same += !is_wrong && got.is_ours;
    refused += !is_wrong && !got.is_ours && !got.is_theirs;
    stricter += !got.is_ours && got.is_theirs;
    if (!is_model && len != 0 && len < 4096) {
      wrong += compare_changed(input, CHANGED_ROUNDS, &changed_taken, &changed_stricter);
    }
    bbw_arena_free(&arena);
    free(exact);
  }
  (void)printf("of the changed envelopes %u are taken, %u refused by ours alone\n", changed_taken, changed_stricter);
  (void)printf("%u files the same in both, %u refused by both, %u refused by ours alone, %u wrong\n", same, refused,
               stricter, wrong);
  return wrong == 0 && same != 0 ? 0 : 1;
}
