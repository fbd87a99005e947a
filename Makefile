# bb-wasm.  `make help` lists what can be typed.  Everything built goes below $(BUILD).
#
# Variables a person may set:
#   BUILD=build           where output goes
#   WASM_CC=emcc|clang    which compiler makes the wasm (both are kept working)
#   SECONDS=20            how long each fuzz target runs
#   SEED=1                which walk the fuzz targets take; 0: another one each time, from all that earlier ones found
#   ONLY=name             run only the tests, fuzzers or benchmarks whose name contains this
#   DIR=path              another folder of vectors, for `make vectors`
#   V=1                   show the whole compiler lines
#   SEEDS=n FROM=seed     how many runs of the simulator, and the first seed
#   ONCE=1                `make demo` trains once, prints one JSON line and exits
#   MODEL=mlp|cnn         what `make demo` trains: a dense network or LeNet-5

# ---- settings -------------------------------------------------------------------------------------------------------
SHELL   := /bin/bash
BUILD   ?= build
CC      := gcc
CLANG   ?= clang
CLANG19 ?= clang-19
WASM_CC ?= emcc
ONLY    ?=
FUZZ_SECONDS := $(if $(filter file,$(origin SECONDS))$(filter environment,$(origin SECONDS))$(filter command,$(origin SECONDS)),$(SECONDS),20)

WARN   := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
COMMON := $(WARN) -ffp-contract=off -Iinclude -Isrc
NATIVE_FLAGS := $(COMMON) -O2 -DNDEBUG -g
ASAN_FLAGS   := $(COMMON) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS   := $(COMMON) -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
WASM_FLAGS   := $(COMMON) -Iwasm -O3 -msimd128 -DNDEBUG -flto

# A small fixed stack: no recursion in the engine depends on input.  Memory starts at the smallest size that links.
WASM_STACK   := 131072
WASM_MEMORY  := 1048576
EMCC_LINK    := -O3 -flto -msimd128 -sSTANDALONE_WASM --no-entry -sFILESYSTEM=0 -sMALLOC=dlmalloc -sALLOW_MEMORY_GROWTH=1 \
                -sABORTING_MALLOC=0 -sINITIAL_MEMORY=$(WASM_MEMORY) -sMAXIMUM_MEMORY=4GB -sSTACK_SIZE=$(WASM_STACK)
# Commands that run long and hold much begin with all their memory: the node:wasi of Node 20 goes on writing to where memory was before it grew.
WASI_MEMORY  := -sINITIAL_MEMORY=1gb

# ---- sources --------------------------------------------------------------------------------------------------------
JS          := $(sort $(shell find js -name '*.js'))
SRC         := $(sort $(wildcard src/*/*.c))
WASM_SRC    := $(sort $(wildcard wasm/*.c))
HEADERS     := $(wildcard include/bbw/*.h src/*/*.h wasm/*.h tests/c/*.h tests/fuzz/*.h tests/sim/*.h)
TEST_SRC    := $(sort $(filter-out tests/c/test_mem.c,$(wildcard tests/c/test_*.c)))
TEST_HELP   := $(sort $(filter-out $(TEST_SRC),$(wildcard tests/c/*.c)))
FUZZ_SRC    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC   := $(sort $(wildcard tests/bench/bench_*.c))
SIM_SRC     := $(sort $(wildcard tests/sim/*.c))
C_FILES     := $(SRC) $(WASM_SRC) $(TEST_SRC) $(TEST_HELP) $(FUZZ_SRC) $(BENCH_SRC) $(SIM_SRC) \
               $(wildcard tests/interop/*.c tests/conformance/*.c tests/bench/compare/*.c) $(HEADERS)

# What the example pages run.
EXAMPLES := $(BUILD)/examples/digits/model.onnx $(BUILD)/examples/sentences/model.onnx $(BUILD)/examples/topics/model.onnx

pick         = $(if $(ONLY),$(foreach x,$(1),$(if $(findstring $(ONLY),$(notdir $(x))),$(x))),$(1))
objects      = $(patsubst %.c,$(BUILD)/$(1)/obj/%.o,$(2))

NATIVE_OBJ  := $(call objects,native,$(SRC))
ASAN_OBJ    := $(call objects,asan,$(SRC) $(TEST_HELP))
FUZZ_OBJ    := $(call objects,fuzz,$(SRC) $(TEST_HELP))
WASM_DIR    := $(BUILD)/wasm-$(WASM_CC)
WASM_OBJ    := $(patsubst %.c,$(WASM_DIR)/obj/%.o,$(SRC) $(WASM_SRC))
TESTS       := $(patsubst tests/c/%.c,$(BUILD)/asan/%,$(TEST_SRC))
FUZZERS     := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
BENCHES     := $(patsubst tests/bench/%.c,$(BUILD)/native/%,$(BENCH_SRC))
WASM_BENCHES := $(patsubst tests/bench/%.c,$(BUILD)/wasm-emcc/%.wasm,$(BENCH_SRC))
EXPORTS     := $(shell sed -e 's/\#.*//' -e '/^[[:space:]]*$$/d' wasm/exports.txt 2>/dev/null)

# The toolchain folder may hold a newer Node than the system's (see scripts/setup-debian.sh).
export PATH := $(abspath $(BUILD)/../.toolchain/node/bin):$(PATH)

# One short line per file, or the whole command with V=1.
say = $(if $(V),,@echo '  $(1)  $@';)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all wasm native demo test check bench lint lint-fast fmt clean types vectors fuzz help setup \
        test-c test-js test-browser test-edge wasm-size FORCE

all: native wasm  ## build the native library and the wasm module

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# ---- native ---------------------------------------------------------------------------------------------------------
native: $(BUILD)/native/libbbw.a  ## build build/native/libbbw.a

$(BUILD)/native/libbbw.a: $(NATIVE_OBJ)
	@mkdir -p $(@D) && rm -f $@
	$(call say,ar  )gcc-ar rcs $@ $^

# The engine gains from inlining over files; the kernels are tuned by hand and lose by it.
$(foreach room,base format peers engine node ops roles,$(BUILD)/native/obj/src/$(room)/%.o): NATIVE_FLAGS += -O3 -flto=auto -ffat-lto-objects
$(BUILD)/native/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc  )$(CC) $(NATIVE_FLAGS) -MMD -MP -c $< -o $@

# At link time, inlining over files makes warnings out of values that a status guards; every file alone was compiled with all of them as errors.
NATIVE_LINK = $(filter-out -Werror,$(NATIVE_FLAGS)) -Wno-maybe-uninitialized

# Benchmarks, and only they, read a clock.
$(BUILD)/native/obj/tests/bench/%.o: NATIVE_FLAGS += -D_POSIX_C_SOURCE=200809L
$(BUILD)/wasm-emcc/obj/tests/bench/%.o: WASM_FLAGS += -D_POSIX_C_SOURCE=200809L

$(BUILD)/native/bench_%: $(BUILD)/native/obj/tests/bench/bench_%.o $(BUILD)/native/libbbw.a
	$(call say,link)$(CC) $(NATIVE_LINK) $^ -lm -o $@

# ---- C tests, with address and undefined-behaviour sanitizers -------------------------------------------------------
$(BUILD)/asan/libbbw.a: $(ASAN_OBJ)
	@mkdir -p $(@D) && rm -f $@
	@ar rcs $@ $^

$(BUILD)/asan/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,asan)$(CC) $(ASAN_FLAGS) -Itests/c -MMD -MP -c $< -o $@

$(BUILD)/asan/test_%: $(BUILD)/asan/obj/tests/c/test_%.o $(BUILD)/asan/libbbw.a
	$(call say,link)$(CC) $(ASAN_FLAGS) $^ -lcmocka -lm -o $@

# Parts of the simulator that have a test of their own.
$(BUILD)/asan/test_sim_base: $(call objects,asan,tests/sim/base.c tests/sim/pool.c tests/sim/queue.c)
$(BUILD)/cover/test_sim_base: $(call objects,cover,tests/sim/base.c tests/sim/pool.c tests/sim/queue.c)

test-c: $(TESTS)  ## run the C tests under ASan and UBSan
	@scripts/run-all.sh 2 300 $(BUILD)/asan/log $(call pick,$(TESTS))

# ---- conformance with ONNX ------------------------------------------------------------------------------------------
CONFORMANCE_DIR := $(or $(DIR),/usr/share/libonnx-testdata/data/node)

$(BUILD)/asan/conformance: $(BUILD)/asan/obj/tests/conformance/run.o $(BUILD)/asan/libbbw.a
	$(call say,link)$(CC) $(ASAN_FLAGS) $^ -lm -o $@

# Every case that is not claimed is in the logs by name, with what it lacks.
conformance: $(BUILD)/asan/conformance $(BUILD)/wasm/bb.wasm node_modules/.package-lock.json  ## run ONNX backend test cases, natively and in wasm: DIR=path, ONLY=name (default: those of libonnx-testdata)
	@scripts/run-conformance.sh $(BUILD)/conformance-native.log $< $(CONFORMANCE_DIR) $(ONLY)
	@scripts/run-conformance.sh $(BUILD)/conformance-wasm.log node tests/conformance/run.mjs $(CONFORMANCE_DIR) $(ONLY)
.PHONY: conformance

# ---- coverage -------------------------------------------------------------------------------------------------------
COVER_FLAGS := $(COMMON) -O0 -g -fprofile-instr-generate -fcoverage-mapping -DBBW_NO_MEM_CACHE
COVER_TESTS := $(patsubst tests/c/%.c,$(BUILD)/cover/%,$(TEST_SRC))

$(BUILD)/cover/libbbw.a: $(call objects,cover,$(SRC) $(TEST_HELP))
	@mkdir -p $(@D) && rm -f $@
	@ar rcs $@ $^

$(BUILD)/cover/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cov )$(CLANG) $(COVER_FLAGS) -Itests/c -MMD -MP -c $< -o $@

$(BUILD)/cover/test_%: $(BUILD)/cover/obj/tests/c/test_%.o $(BUILD)/cover/libbbw.a
	$(call say,link)$(CLANG) $(COVER_FLAGS) $^ -lcmocka -lm -o $@

coverage: $(COVER_TESTS)  ## run the C tests and print line and branch coverage per folder
	@LLVM_PROFILE_FILE=$(abspath $(BUILD))/cover/%p.profraw scripts/run-all.sh 2 300 $(BUILD)/cover/log $(COVER_TESTS)
	@scripts/coverage.sh $(BUILD)/cover $(COVER_TESTS)
.PHONY: coverage

# ---- fuzzing --------------------------------------------------------------------------------------------------------
$(BUILD)/fuzz/libbbw.a: $(FUZZ_OBJ)
	@mkdir -p $(@D) && rm -f $@
	@ar rcs $@ $^

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,fuzz)$(CLANG) $(FUZZ_FLAGS) -Itests/c -MMD -MP -c $< -o $@

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/libbbw.a
	$(call say,link)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ -lm -o $@

fuzz: $(FUZZERS)  ## run every fuzz target for SECONDS=20, two at a time; SEED=0 explores
	@scripts/run-fuzz.sh $(FUZZ_SECONDS) $(or $(SEED),1) $(BUILD)/fuzz $(call pick,$(FUZZERS))

# ---- wasm -----------------------------------------------------------------------------------------------------------
MODULES := bb bb-relaxed bb-infer bb-engine
wasm: $(MODULES:%=$(BUILD)/wasm/%.wasm)  ## build bb.wasm, bb-relaxed.wasm, bb-infer.wasm and bb-engine.wasm (WASM_CC=emcc or clang) and check their size
	@for module in $(MODULES); do scripts/check-size.sh $(BUILD)/wasm/$$module.wasm wasm/size-budget.txt $(WASM_CC) || exit 1; done

# One name for users, one folder per compiler, so that switching WASM_CC never mixes objects.
$(BUILD)/wasm/%.wasm: $(WASM_DIR)/%.wasm FORCE
	@mkdir -p $(@D)
	@cmp -s $< $@ || cp $< $@

$(BUILD)/wasm-emcc/emcc.path: FORCE
	@mkdir -p $(@D)
	@new=$@.$$$$; scripts/setup-emscripten.sh >$$new && { cmp -s $$new $@ && rm $$new || mv $$new $@; }

# What runs once per install or per call of the host is made small; what runs per operator or per element is made fast.
SMALL_ROOMS := compiler node components autodiff peers roles onnx ops
SMALL_FILES := kernels/math_f64 kernels/math_f32 kernels/conv_plan kernels/broadcast format/proto format/onnx format/tensor_proto format/address format/peer_id
$(foreach dir,$(addprefix src/,$(SMALL_ROOMS)) wasm,$(WASM_DIR)/obj/$(dir)/%.o): WASM_FLAGS += -Os
$(SMALL_FILES:%=$(WASM_DIR)/obj/src/%.o) $(SMALL_FILES:%=$(WASM_DIR)/relaxed/src/%.o): WASM_FLAGS += -Os
# And what hardly any model has, or only its loading, as small as can be.
SMALLEST_FILES := $(addprefix onnx/,ops_vision ops_signal ops_training ops_loss ops_algebra ops_resize ops_make ops_control ops_recurrent grad_recurrent load fuse op) \
                  autodiff/gradient_graphs $(patsubst src/%.c,%,$(wildcard src/compiler/*.c src/node/*.c))
$(SMALLEST_FILES:%=$(WASM_DIR)/obj/src/%.o): WASM_FLAGS += -Oz

$(BUILD)/wasm-emcc/obj/%.o: %.c $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,emcc)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASM_FLAGS) -MMD -MP -c $< -o $@

# Benchmarks in C run in WebAssembly too, as WASI commands. Without V8's first compiler: one long call would never leave it.
$(BUILD)/wasm-emcc/bench_%.wasm: $(BUILD)/wasm-emcc/obj/tests/bench/bench_%.o $(patsubst %.c,$(BUILD)/wasm-emcc/obj/%.o,$(SRC))
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) -O3 -msimd128 -sSTANDALONE_WASM $(WASI_MEMORY) $(filter %.o,$^) -o $@

# The same module with fused multiply-add, for engines that have relaxed SIMD (js/internal/simd.js asks).  Only the kernels differ.
RELAXED_FLAGS := -mrelaxed-simd -DBBW_RELAXED
RELAXED_OBJ   := $(patsubst $(WASM_DIR)/obj/src/kernels/%,$(WASM_DIR)/relaxed/src/kernels/%,$(WASM_OBJ))

$(BUILD)/wasm-emcc/relaxed/%.o: %.c $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,emcc)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASM_FLAGS) $(RELAXED_FLAGS) -MMD -MP -c $< -o $@

comma := ,
empty :=
space := $(empty) $(empty)
$(BUILD)/wasm-emcc/bb.wasm: $(filter $(BUILD)/wasm-emcc/%,$(WASM_OBJ)) wasm/exports.txt $(BUILD)/wasm-emcc/emcc.path Makefile
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(EMCC_LINK) -sEXPORTED_FUNCTIONS=$(subst $(space),$(comma),$(addprefix _,$(strip $(EXPORTS)))) \
	  $(filter %.o,$^) -o $@

$(BUILD)/wasm-emcc/bb-relaxed.wasm: $(filter $(BUILD)/wasm-emcc/%,$(RELAXED_OBJ)) wasm/exports.txt $(BUILD)/wasm-emcc/emcc.path Makefile
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(EMCC_LINK) -mrelaxed-simd \
	  -sEXPORTED_FUNCTIONS=$(subst $(space),$(comma),$(addprefix _,$(strip $(EXPORTS)))) $(filter %.o,$^) -o $@

$(BUILD)/wasm-clang/relaxed/%.o: %.c
	@mkdir -p $(@D)
	$(call say,wasi)$(CLANG19) --target=wasm32-wasi $(WASM_FLAGS) $(RELAXED_FLAGS) -MMD -MP -c $< -o $@

$(BUILD)/wasm-clang/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,wasi)$(CLANG19) --target=wasm32-wasi $(WASM_FLAGS) -MMD -MP -c $< -o $@

# The engine for those who bring their own compute: no kernels for models, no sessions, no compiler, and small before fast.  Its allocator is the smaller one: what
# the larger one is for, large blocks at the end of the heap, hardly occurs in it.
ENGINE_EXPORTS = $(filter-out bbw_abi_session_% bbw_abi_trainer_% bbw_abi_model_% bbw_abi_compile,$(EXPORTS))
ENGINE_SRC     = $(filter-out src/onnx/% src/autodiff/% src/components/cpu_% src/components/onnx_% wasm/abi_session.c wasm/abi_trainer.c wasm/abi_model.c,$(SRC) $(WASM_SRC))
ENGINE_OBJ     = $(patsubst %.c,$(WASM_DIR)/engine/%.o,$(ENGINE_SRC))

# What no envelope passes through is made smaller still.
ENGINE_SMALL := -Os
ENGINE_COLD  := $(filter src/node/% src/components/% src/roles/% src/format/proto% src/format/onnx% src/format/tensor% src/format/address% src/peers/backoff% src/peers/governor% src/peers/rtt% src/engine/graph% src/engine/bootstrap% src/engine/named% wasm/%,$(ENGINE_SRC))
$(patsubst %.c,$(BUILD)/wasm-emcc/engine/%.o,$(ENGINE_COLD)): ENGINE_SMALL := -Oz

$(BUILD)/wasm-emcc/engine/%.o: %.c $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,emcc)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASM_FLAGS) $(ENGINE_SMALL) -DBBW_ENGINE_ONLY -MMD -MP -c $< -o $@

$(BUILD)/wasm-emcc/bb-engine.wasm: $(filter $(BUILD)/wasm-emcc/%,$(ENGINE_OBJ)) wasm/exports.txt $(BUILD)/wasm-emcc/emcc.path Makefile
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(subst -O3,-Oz,$(subst dlmalloc,emmalloc,$(EMCC_LINK))) \
	  -sEXPORTED_FUNCTIONS=$(subst $(space),$(comma),$(addprefix _,$(strip $(ENGINE_EXPORTS)))) $(filter %.o,$^) -o $@

$(BUILD)/wasm-clang/engine/%.o: %.c
	@mkdir -p $(@D)
	$(call say,wasi)$(CLANG19) --target=wasm32-wasi $(WASM_FLAGS) -Oz -DBBW_ENGINE_ONLY -MMD -MP -c $< -o $@

$(BUILD)/wasm-clang/bb-engine.wasm: $(filter $(BUILD)/wasm-clang/%,$(ENGINE_OBJ)) wasm/exports.txt Makefile
	$(call say,link)$(CLANG_LINK) $(filter %.o,$^) $(CLANG_LIBS) -o $@
$(BUILD)/wasm-clang/bb-engine.wasm: LINK_EXPORTS = $(ENGINE_EXPORTS)

# Sessions and the backend beside the engine, for those who run models and train none: the same objects but for the two tables that name what else there is.
INFER_EXPORTS = $(filter-out bbw_abi_trainer_% bbw_abi_model_% bbw_abi_compile,$(EXPORTS))
INFER_TABLES  = onnx/ops components/shipped
INFER_OBJ     = $(filter-out $(WASM_DIR)/obj/src/autodiff/% $(INFER_TABLES:%=$(WASM_DIR)/obj/src/%.o) $(patsubst %,$(WASM_DIR)/obj/wasm/abi_%.o,trainer model),$(WASM_OBJ)) \
                $(INFER_TABLES:%=$(WASM_DIR)/infer/src/%.o)

$(BUILD)/wasm-emcc/infer/%.o: %.c $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,emcc)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASM_FLAGS) -Os -DBBW_INFERENCE_ONLY -MMD -MP -c $< -o $@

$(BUILD)/wasm-emcc/bb-infer.wasm: $(filter $(BUILD)/wasm-emcc/%,$(INFER_OBJ)) wasm/exports.txt $(BUILD)/wasm-emcc/emcc.path Makefile
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(EMCC_LINK) \
	  -sEXPORTED_FUNCTIONS=$(subst $(space),$(comma),$(addprefix _,$(strip $(INFER_EXPORTS)))) $(filter %.o,$^) -o $@

$(BUILD)/wasm-clang/infer/%.o: %.c
	@mkdir -p $(@D)
	$(call say,wasi)$(CLANG19) --target=wasm32-wasi $(WASM_FLAGS) -Os -DBBW_INFERENCE_ONLY -MMD -MP -c $< -o $@

$(BUILD)/wasm-clang/bb-infer.wasm: $(filter $(BUILD)/wasm-clang/%,$(INFER_OBJ)) wasm/exports.txt Makefile
	$(call say,link)$(CLANG_LINK) $(filter %.o,$^) $(CLANG_LIBS) -o $@
$(BUILD)/wasm-clang/bb-infer.wasm: LINK_EXPORTS = $(INFER_EXPORTS)

# Two steps on purpose: the clang driver would run any wasm-opt on the PATH, and an old one breaks the module.
WASI_LIB := /usr/lib/wasm32-wasi
CLANG_LINK = wasm-ld-19 --no-entry --gc-sections --strip-all -O3 -z stack-size=$(WASM_STACK) --stack-first --initial-memory=$(WASM_MEMORY) \
	  --max-memory=4294967296 --export=_initialize $(addprefix --export=,$(or $(LINK_EXPORTS),$(EXPORTS))) $(WASI_LIB)/crt1-reactor.o
CLANG_LIBS = -L$(WASI_LIB) -lc -lm $$($(CLANG19) --target=wasm32-wasi -print-libgcc-file-name)
$(BUILD)/wasm-clang/bb.wasm: $(filter $(BUILD)/wasm-clang/%,$(WASM_OBJ)) wasm/exports.txt Makefile
	$(call say,link)$(CLANG_LINK) $(filter %.o,$^) $(CLANG_LIBS) -o $@

$(BUILD)/wasm-clang/bb-relaxed.wasm: $(filter $(BUILD)/wasm-clang/%,$(RELAXED_OBJ)) wasm/exports.txt Makefile
	$(call say,link)$(CLANG_LINK) $(filter %.o,$^) $(CLANG_LIBS) -o $@
# ---- WebAssembly computes the same bits --------------------------------------------------------------------------------
WASI_FLAGS := $(COMMON) -O3 -msimd128 -sSTANDALONE_WASM -sALLOW_MEMORY_GROWTH=1
WASI_OBJ   := $(patsubst %.c,$(BUILD)/wasm-emcc/obj/%.o,$(SRC))

SAME_BITS := tests/wasi/same_bits.c tests/c/kernel_data.c tests/c/onnx_build.c
$(BUILD)/wasi/same_bits.wasm: $(SAME_BITS) $(WASI_OBJ)
	@mkdir -p $(@D)
	$(call say,wasi)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASI_FLAGS) -Itests/c $^ -o $@

$(BUILD)/native/same_bits: $(SAME_BITS) $(BUILD)/native/libbbw.a
	$(call say,link)$(CC) $(NATIVE_LINK) -Itests/c $^ -lm -o $@

test-bits: $(BUILD)/native/same_bits $(BUILD)/wasi/same_bits.wasm  ## kernels and training give equal bits natively and in wasm
	@$(BUILD)/native/same_bits >$(BUILD)/wasi/native.txt
	@node tests/bench/run_wasi.mjs $(BUILD)/wasi/same_bits.wasm >$(BUILD)/wasi/wasm.txt
	@diff $(BUILD)/wasi/native.txt $(BUILD)/wasi/wasm.txt
	@echo "same bits: $$(wc -l <$(BUILD)/wasi/wasm.txt) results are equal natively and in wasm"
.PHONY: test-bits

# ---- the simulator --------------------------------------------------------------------------------------------------
# Many Nodes in one process, from a seed.  The same C natively, under the sanitizers and in WebAssembly, where it must give the same traces.
SIM_LIB      := $(filter-out tests/sim/main.c,$(SIM_SRC))
SIM_WASM_OBJ := $(patsubst %.c,$(BUILD)/wasm-emcc/obj/%.o,$(SRC) $(SIM_SRC))

$(BUILD)/native/sim: $(call objects,native,$(SIM_SRC)) $(BUILD)/native/libbbw.a
	$(call say,link)$(CC) $(NATIVE_LINK) $^ -lm -o $@

$(BUILD)/asan/sim: $(call objects,asan,$(SIM_SRC)) $(BUILD)/asan/libbbw.a
	$(call say,link)$(CC) $(ASAN_FLAGS) $^ -lm -o $@

# A module of its own that is part of the package, beside bb.wasm and not in it.  Without the CPU backend; the Model brings the ONNX operators.
$(BUILD)/wasm-emcc/obj/sim/shipped.o: src/components/shipped.c $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,emcc)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(WASM_FLAGS) -Os -DBBW_NO_CPU_BACKEND -MMD -MP -c $< -o $@

$(BUILD)/wasm-emcc/bb-sim.wasm: $(filter-out %/shipped.o,$(SIM_WASM_OBJ)) $(BUILD)/wasm-emcc/obj/sim/shipped.o $(BUILD)/wasm-emcc/emcc.path
	$(call say,link)$$(cat $(BUILD)/wasm-emcc/emcc.path) -O3 -flto -msimd128 -sSTANDALONE_WASM -sFILESYSTEM=0 -sMALLOC=emmalloc $(WASI_MEMORY) \
	  -sABORTING_MALLOC=0 -sSTACK_SIZE=$(WASM_STACK) $(filter %.o,$^) -o $@

# Its benchmark is linked with it.
$(BUILD)/native/obj/tests/bench/bench_sim.o: NATIVE_FLAGS += -Itests
$(BUILD)/wasm-emcc/obj/tests/bench/bench_sim.o: WASM_FLAGS += -Itests
$(BUILD)/native/bench_sim: $(BUILD)/native/obj/tests/bench/bench_sim.o $(call objects,native,$(SIM_LIB)) $(BUILD)/native/libbbw.a
	$(call say,link)$(CC) $(NATIVE_LINK) $^ -lm -o $@
$(BUILD)/wasm-emcc/bench_sim.wasm: $(patsubst %.c,$(BUILD)/wasm-emcc/obj/%.o,$(SIM_LIB))

# The same file for both compilers of the other modules.
$(BUILD)/wasm/bb-sim.wasm: $(BUILD)/wasm-emcc/bb-sim.wasm
	@mkdir -p $(@D)
	@scripts/check-size.sh $< wasm/size-budget.txt emcc
	@cp $< $@

SEEDS ?= 2000
FROM  ?=

sim: $(BUILD)/native/sim $(BUILD)/wasm/bb-sim.wasm  ## simulate SEEDS=n networks of Nodes FROM=seed on, natively and in wasm: every seed must pass, with equal traces
	@node scripts/run-sim.js $(BUILD) --cores native,wasm --seeds $(SEEDS) $(if $(FROM),--from $(FROM),--from-clock)

soak: $(BUILD)/native/sim $(BUILD)/wasm/bb-sim.wasm  ## the same until stopped, from a seed that follows from the time
	@node scripts/run-sim.js $(BUILD) --cores native,wasm --seeds 1000 --until-stopped $(if $(FROM),--from $(FROM),--from-clock)

# Seeds follow from the commit, so that a rerun of one commit gives one answer and each commit tries others.  What fails prints the command that repeats it.
test-sim: $(BUILD)/asan/sim $(BUILD)/wasm/bb-sim.wasm  ## runs that once failed, then 2,000 seeds of this commit under sanitizers and in wasm
	@node scripts/run-sim.js $(BUILD) --cores asan,wasm --seeds $(SEEDS) $(if $(FROM),--from $(FROM),--from-commit) --regressions tests/sim/regressions.txt

# Bugs planted on purpose, one of each class: the simulator must find each within 200 seeds.
test-canaries: $(BUILD)/native/sim  ## plant one bug of each class and see that the simulator finds it
	@node scripts/run-canaries.js $(BUILD)
.PHONY: sim soak test-sim test-canaries

# ---- JavaScript -----------------------------------------------------------------------------------------------------
node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

test-js: node_modules/.package-lock.json $(MODULES:%=$(BUILD)/wasm/%.wasm) $(BUILD)/wasm/bb-sim.wasm $(BUILD)/types/index.d.ts $(EXAMPLES)  ## run the JavaScript tests in Node
	@if ls tests/js/*.test.js >/dev/null 2>&1; then \
	  scripts/netns.sh 600 node --test --test-concurrency=2 --test-timeout=150000 $(call pick,$(wildcard tests/js/*.test.js)); fi

test-browser: node_modules/.package-lock.json $(BUILD)/wasm/bb.wasm $(EXAMPLES)  ## run the pages in headless Chromium, the examples in Firefox too
	@if ls tests/browser/*.test.js >/dev/null 2>&1; then \
	  scripts/netns.sh 600 node --test --test-concurrency=1 $(call pick,$(wildcard tests/browser/*.test.js)); fi

test-edge: node_modules/.package-lock.json $(BUILD)/wasm/bb.wasm $(BUILD)/examples/topics/model.onnx  ## run a Node, and training, inside workerd
	@if ls tests/edge/*.test.js >/dev/null 2>&1; then \
	  scripts/netns.sh 240 node --test --test-concurrency=1 $(call pick,$(wildcard tests/edge/*.test.js)); fi

demo: setup-demo node_modules/.package-lock.json native $(BUILD)/wasm/bb.wasm $(BUILD)/wasm/bb-relaxed.wasm  ## train on real data in the terminal and serve the page
	@node demo/main.js

# ---- example pages --------------------------------------------------------------------------------------------------
# Trained once: a new engine needs no new weights, so the module must be there but does not make them old.

$(BUILD)/examples/digits/model.onnx: examples/digits/train.js demo/digits.js node_modules/.package-lock.json | $(BUILD)/wasm/bb.wasm
	@node examples/digits/train.js $(@D)

$(BUILD)/examples/sentences/model.onnx: $(filter-out %/page.js,$(wildcard examples/sentences/*.js)) node_modules/.package-lock.json | $(BUILD)/wasm/bb.wasm
	@node examples/sentences/build.js $(@D)

$(BUILD)/examples/topics/model.onnx: $(wildcard examples/topics/*.js) $(BUILD)/examples/sentences/model.onnx | $(BUILD)/wasm/bb.wasm
	@node examples/topics/build.js $(@D) $(BUILD)/examples/sentences

examples: setup-demo $(EXAMPLES)  ## train what the example pages need (once) and serve them: drawn digits, sentence search
	@node examples/serve.js
.PHONY: examples

# ---- everything that checks -----------------------------------------------------------------------------------------
setup:  # installs what is missing, or says in one line what to install
	@scripts/setup-debian.sh build wasm test node browser
.PHONY: setup-demo
setup-demo:
	@scripts/setup-debian.sh build wasm node

test:  ## install what is missing, then run every test
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory node_modules/.package-lock.json
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j2 $(TESTS) && $(MAKE) --no-print-directory test-c
	@$(MAKE) --no-print-directory -j2 $(FUZZERS) && $(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory -j2 wasm WASM_CC=clang
	@$(MAKE) --no-print-directory -j2 wasm
	@$(MAKE) --no-print-directory -j2 test-bits
	@$(MAKE) --no-print-directory -j2 test-sim
	@$(MAKE) --no-print-directory -j2 test-canaries
	@$(MAKE) --no-print-directory conformance
	@$(MAKE) --no-print-directory test-js
	@$(MAKE) --no-print-directory test-export
	@$(MAKE) --no-print-directory test-browser
	@$(MAKE) --no-print-directory test-edge

check: lint-fast $(TESTS)  ## the fast tier: lint, C tests and Node tests
	@$(MAKE) --no-print-directory test-c
	@$(MAKE) --no-print-directory test-js

vectors: $(filter %_vectors,$(TESTS)) node_modules/.package-lock.json  ## run the vector checks over another folder: DIR=path
	@test -d "$(DIR)" || { echo "usage: make vectors DIR=path-of-a-folder-with-vector-sets"; exit 2; }
	@VERBOSE=1 BBW_VECTORS=$(abspath $(DIR)) scripts/run-all.sh 2 300 $(BUILD)/asan/log $(filter %_vectors,$(TESTS))
	@BBW_VECTORS=$(abspath $(DIR)) node --test $(wildcard tests/js/*-vectors.test.js)

lint: lint-fast $(patsubst %.c,$(BUILD)/lint/%.ok,$(SRC) $(WASM_SRC))  ## every static check, with the second compiler too

lint-fast: node_modules/.package-lock.json  ## layers, format, types, generated files, paths
	@node scripts/check-includes.js
	@node scripts/check-tree.js
	@node scripts/run-canaries.js --check
	@test -z "$(strip $(C_FILES))" || clang-format --dry-run --Werror $(C_FILES)
	@node scripts/gen-constants.js --check
	@node scripts/gen-docs.js --check
	@node_modules/.bin/tsc -p tsconfig.json
	@$(MAKE) --no-print-directory types

# Declarations are written from the comments in js/, and checked by a strict program that uses the package by its name.
types: $(BUILD)/types/index.d.ts  ## write the TypeScript declarations and check them

$(BUILD)/types/index.d.ts: $(JS) tsconfig.json tsconfig.types.json tests/types/consumer.ts tests/types/tsconfig.json package.json node_modules/.package-lock.json
	@rm -rf $(@D)
	@node_modules/.bin/tsc -p tsconfig.types.json --outDir $(@D)
	@node_modules/.bin/tsc -p tests/types/tsconfig.json

$(BUILD)/lint/wasm/%.ok: wasm/%.c $(HEADERS)
	@mkdir -p $(@D)
	@$(CLANG19) --target=wasm32-wasi -msimd128 $(COMMON) -Iwasm -fsyntax-only $< && touch $@

$(BUILD)/lint/%.ok: %.c $(HEADERS)
	@mkdir -p $(@D)
	@$(CLANG19) $(COMMON) -fsyntax-only $< && touch $@

fmt:  ## format the C sources and write the generated files
	@test -z "$(strip $(C_FILES))" || clang-format -i $(C_FILES)
	@node scripts/gen-constants.js
	@node scripts/gen-docs.js

# protobuf-c knows no groups, so of the envelopes only the ordinary ones are compared.
interop: test-export  ## compare our protobuf codecs with protobuf-c, and load in onnxruntime-web what is trained here (installs both when missing)
	@scripts/setup-debian.sh interop
	@mkdir -p $(BUILD)/interop
	@protoc-c -Iproto --c_out=$(BUILD)/interop proto/onnx-subset.proto proto/bb_core.proto
	@$(CC) -std=c11 -O1 -g -fsanitize=address,undefined -Iinclude -Isrc -I$(BUILD)/interop tests/interop/protobuf_c.c \
	  $(BUILD)/interop/*.pb-c.c $(filter src/base/% src/format/%,$(SRC)) -lprotobuf-c -lm -o $(BUILD)/interop/protobuf_c
	@$(BUILD)/interop/protobuf_c tests/vectors/artifacts/*.pb \
	  $$(sed -n 's/.*"kind":"valid".*"file":"\([0-9]*.bin\)".*/tests\/vectors\/envelopes\/\1/p' tests/vectors/envelopes/index.json)

tests/interop/node_modules/.package-lock.json: tests/interop/package-lock.json
	cd tests/interop && npm ci --no-audit --no-fund --loglevel=error

test-export: tests/interop/node_modules/.package-lock.json $(BUILD)/wasm/bb.wasm  ## load in onnxruntime-web what is trained here
	@scripts/netns.sh 300 node --test $(wildcard tests/interop/*.test.js)
.PHONY: interop test-export

# What others compute beside what we compute: our kernels as modules without a main, and the others' packages, in a folder of their own.
COMPARE_FLAGS := $(COMMON) -O3 -msimd128 -flto -DNDEBUG -sSTANDALONE_WASM --no-entry -sFILESYSTEM=0 -sALLOW_MEMORY_GROWTH=1
COMPARE_SRC   := tests/bench/compare/kernels.c $(wildcard src/kernels/*.c) src/base/mem.c
COMPARE       := $(BUILD)/compare/kernels.wasm $(BUILD)/compare/kernels-relaxed.wasm tests/bench/compare/node_modules/.package-lock.json

$(BUILD)/compare/kernels-relaxed.wasm: COMPARE_FLAGS += $(RELAXED_FLAGS)
$(BUILD)/compare/%.wasm: $(COMPARE_SRC) $(wildcard src/kernels/*.h src/kernels/*.def) $(BUILD)/wasm-emcc/emcc.path
	@mkdir -p $(@D)
	$(call say,wasm)$$(cat $(BUILD)/wasm-emcc/emcc.path) $(COMPARE_FLAGS) $(COMPARE_SRC) -o $@

tests/bench/compare/node_modules/.package-lock.json: tests/bench/compare/package-lock.json
	cd tests/bench/compare && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

bench: $(BENCHES) $(WASM_BENCHES) $(if $(call pick,tests/bench/gemm_compare.bench.js tests/bench/model_compare.bench.js tests/bench/train_compare.bench.js),$(COMPARE)) node_modules/.package-lock.json wasm $(BUILD)/examples/digits/model.onnx  ## measure; appends to build/bench/results.jsonl (ONLY=name)
	@mkdir -p $(BUILD)/bench
	@set -o pipefail; for b in $(call pick,$(BENCHES)); do $$b | tee -a $(BUILD)/bench/results.jsonl || exit 1; done
	@set -o pipefail; for b in $(call pick,$(WASM_BENCHES)); do node --no-liftoff tests/bench/run_wasi.mjs $$b | tee -a $(BUILD)/bench/results.jsonl || exit 1; done
	@set -o pipefail; for b in $(call pick,$(wildcard tests/bench/*.bench.js)); do node $$b | tee -a $(BUILD)/bench/results.jsonl || exit 1; done

clean:  ## remove everything built
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
