/* abi_session: standard ONNX models outside any node. */
#include <assert.h>

#include "abi.h"
#include "abi_private.h"
#include "bbw/session.h"

/* The frame of a run as the glue writes it: the layout of bbw_array in wasm32. */
static_assert(sizeof(bbw_array) == 48, "an array is {u32 dtype, u32 rank, u32 dims[8], u32 count, u32 data}");

static bbw_session *session_at(uint32_t session) { return address(session); }

int32_t bbw_abi_session_new(uint32_t model, uint32_t model_len, uint32_t memory_bytes_max, uint32_t is_plain,
                            uint32_t handle_out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  bbw_session_options options = {.memory_bytes_max = memory_bytes_max, .is_plain = is_plain != 0};
  bbw_session *session;
  bbw_status rv = bbw_session_new(&session, bytes_at(model, model_len), &options, &bbw_wasm_mem, error_at(err));
  if (rv == BBW_OK) { *(uint32_t *)address(handle_out) = offset(session); }
  return rv;
}

int32_t bbw_abi_session_share(uint32_t session, uint32_t handle_out, uint32_t err) {
  bbw_error_set(error_at(err), BBW_OK);
  bbw_session *shared;
  bbw_status rv = bbw_session_share(&shared, session_at(session), error_at(err));
  if (rv == BBW_OK) { *(uint32_t *)address(handle_out) = offset(shared); }
  return rv;
}

void bbw_abi_session_del(uint32_t session) { bbw_session_del(session_at(session)); }

bool abi_put_port(bbw_vec *list, const bbw_port_info *port) {
  bool ok = bbw_pack_put_text(list, port->name) && bbw_pack_put_u32(list, (uint32_t)port->dtype) &&
            bbw_pack_put_u32(list, port->has_shape ? 1 : 0) && bbw_pack_put_u32(list, port->rank);
  for (uint32_t d = 0; ok && d < port->rank; d++) {
    ok = bbw_pack_put_u64(list, (uint64_t)port->dims[d]) && bbw_pack_put_text(list, port->symbols[d]);
  }
  return ok;
}

int32_t bbw_abi_session_ports(uint32_t session, uint32_t out) {
  const bbw_session *s = session_at(session);
  size_t inputs = bbw_session_input_count(s), outputs = bbw_session_output_count(s);
  bbw_vec *list = abi_result_begin();
  bool ok = bbw_pack_put_u32(list, (uint32_t)inputs);
  for (size_t i = 0; ok && i < inputs; i++) {
    bbw_port_info port = bbw_session_input(s, i);
    ok = abi_put_port(list, &port);
  }
  ok = ok && bbw_pack_put_u32(list, (uint32_t)outputs);
  for (size_t i = 0; ok && i < outputs; i++) {
    bbw_port_info port = bbw_session_output(s, i);
    ok = abi_put_port(list, &port);
  }
  return abi_result_end(ok, out, 0);
}

bool abi_check_arrays(bbw_array *arrays, size_t count) {
  for (size_t i = 0; i < count; i++) {
    void *data = arrays[i].data;
    if (arrays[i].dtype >= BBW_DTYPE_COUNT ||
        !bbw_array_shape(&arrays[i], arrays[i].dtype, arrays[i].rank, arrays[i].dims)) {
      return false;
    }
    arrays[i].data = data;
  }
  return true;
}

int32_t bbw_abi_session_run(uint32_t session, uint32_t frame, uint32_t err) {
  bbw_session *s = session_at(session);
  bbw_array *inputs = address(frame);
  size_t count = bbw_session_input_count(s);
  if (!abi_check_arrays(inputs, count)) { return bbw_error_set(error_at(err), BBW_E_ARG); }
  return bbw_session_run(s, inputs, count, inputs + count, error_at(err));
}

void bbw_abi_session_stats(uint32_t session, uint32_t out) {
  bbw_session_stats stats = bbw_session_stats_of(session_at(session));
  uint32_t *words = address(out);
  words[0] = (uint32_t)stats.constant_bytes;
  words[1] = (uint32_t)stats.run_bytes;
  words[2] = (uint32_t)stats.run_bytes_peak;
  words[3] = (uint32_t)stats.node_count;
}
