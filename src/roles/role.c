#include "base/bytes.h"
#include "bbw/component.h"

typedef struct role_row {
  bbw_role role;
  bbw_str name;
} role_row;

static const role_row role_rows[] = {
#define ROLE(name, js, domain) {BBW_ROLE_##name, {#js, sizeof(#js) - 1}},
#include "bbw/roles.def"
#undef ROLE
};

bbw_str bbw_role_name(bbw_role role) { return role < BBW_ROLE_COUNT ? role_rows[role].name : BBW_STR("?"); }

bool bbw_role_from_name(bbw_str name, bbw_role *out) {
  bbw_str suffix = BBW_STR("Runtime");
  if (bbw_str_ends_with(name, suffix)) { name.len -= suffix.len; }
  for (size_t i = 0; i < BBW_ROLE_COUNT; i++) {
    if (bbw_str_equal(role_rows[i].name, name)) {
      *out = role_rows[i].role;
      return true;
    }
  }
  return false;
}
