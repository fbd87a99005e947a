/* Placeholder of the exported ABI: shows that the toolchain links a reactor with our imports.  The real ABI replaces it. */
#include <stddef.h>
#include <stdint.h>

__attribute__((import_module("bbw"), import_name("host_dispatch"))) int32_t bbw_host_dispatch(uint32_t call);
uint32_t bbw_abi_version(void);
int32_t bbw_abi_echo(uint32_t call);
void emscripten_notify_memory_growth(size_t memory);

uint32_t bbw_abi_version(void) { return 1; }
int32_t bbw_abi_echo(uint32_t call) { return bbw_host_dispatch(call); }

/* The glue makes its views anew after every call that may grow memory, so nobody needs to be told. */
void emscripten_notify_memory_growth(size_t memory) { (void)memory; }
