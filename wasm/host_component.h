/*
 * host_component: a component type whose operators run in the host.
 *
 * Each instance stands for one object of the host, named by a number.  Dispatch packs the call, asks the host, and unpacks the reply (abi.h).
 */
#ifndef BBW_WASM_HOST_COMPONENT_H
#define BBW_WASM_HOST_COMPONENT_H

#include "bbw/component.h"

/* A type and what it needs; `base` comes first so that a pointer to it is a pointer to this. */
typedef struct bbw_host_type {
  bbw_component_type base;
  uint32_t host_id;
  char *name; /* owned, terminated */
  size_t name_bytes;
} bbw_host_type;

/* Fills in a type.  The name is copied. */
bbw_status bbw_host_type_init(bbw_host_type *type, bbw_str name, uint32_t role_bits, uint32_t host_id,
                              const bbw_mem *mem);
void bbw_host_type_free(bbw_host_type *type, const bbw_mem *mem);

#endif
