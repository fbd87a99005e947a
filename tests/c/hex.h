/* hex: test inputs as they stand in the specifications. */
#ifndef BBW_TEST_HEX_H
#define BBW_TEST_HEX_H

#include "bbw/base.h"

/* Digits to bytes in `out`, which has room for half as many; blanks are skipped. */
bbw_bytes hex_bytes(const char *hex, uint8_t *out);

#endif
