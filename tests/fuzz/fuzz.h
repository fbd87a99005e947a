/*
 * fuzz: what every fuzz target needs.  REQUIRE stops the run like a crash, so that libFuzzer keeps the input.
 */
#ifndef BBW_TESTS_FUZZ_H
#define BBW_TESTS_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)         \
  do {                             \
    if (!(condition)) { abort(); } \
  } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
