/*
 * compiler: from a recorded model to an artifact that installs.
 *
 * Runs the passes of the authoring specification §2.2 on the functions of an encoded ModelProto and stamps bindings, passport and routing.
 */
#ifndef BBW_COMPILER_H
#define BBW_COMPILER_H

#include "bbw/component.h"

typedef struct bbw_binding {
  bbw_str slot;
  bbw_role role;
  bbw_str type_name;
} bbw_binding;

/* Gives the partition of a peer class a name of its own instead of the one derived from module and class. */
typedef struct bbw_target_name {
  bbw_str peer_class;
  bbw_str name;
} bbw_target_name;

enum {
  BBW_ROUTING_STABLE = 0,  /* receivers are named by a hash of partition and value name */
  BBW_ROUTING_ORDINAL = 1, /* by the number that a reference node gives the site when it installs that target first */
};

typedef struct bbw_compile_options {
  const bbw_binding *bindings;
  size_t binding_count;
  const bbw_target_name *target_names;
  size_t target_name_count;
  uint64_t per_hop_budget_ns; /* stamped as deadline_ns on every Send; 0 = 100 ms */
  bool is_permissive_types;   /* values without a known concrete type are accepted */
  uint32_t routing;           /* BBW_ROUTING_* */
} bbw_compile_options;

/* Errors: E_COMP_* with the fields of the authoring specification §2.22; "module" and "port" or "node" name the place.  *out is allocated with
 * mem; the caller frees it with *len. */
bbw_status bbw_compile(uint8_t **out, size_t *len, bbw_bytes model, const bbw_compile_options *options,
                       const bbw_mem *mem, bbw_error *err);

#endif
