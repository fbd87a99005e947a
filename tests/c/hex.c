#include "hex.h"

#include <stdlib.h>

bbw_bytes hex_bytes(const char *hex, uint8_t *out) {
  size_t digits = 0;
  for (; *hex != '\0'; hex++) {
    if (*hex == ' ') { continue; }
    char pair[2] = {*hex, '\0'};
    uint8_t digit = (uint8_t)strtoul(pair, NULL, 16);
    if (digits % 2 == 0) {
      out[digits / 2] = (uint8_t)(digit << 4);
    } else {
      out[digits / 2] |= digit;
    }
    digits++;
  }
  return (bbw_bytes){out, digits / 2};
}
