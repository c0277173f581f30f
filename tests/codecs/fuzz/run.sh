#!/usr/bin/env bash
# Fuzz the native codec and the container reader, FUZZ_SECONDS (60) each. A finding leaves its input in
# build/fuzz/findings and a status other than 0; corpora are kept in build/fuzz and grow from run to run.
set -euo pipefail
cd "$(dirname "$0")/../../.."

seconds=${FUZZ_SECONDS:-60}
python=${PYTHON:-.venv/bin/python}
compiler=${CXX:-clang++}
folder=build/fuzz

if ! echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$compiler" -x c++ -fsanitize=fuzzer,address,undefined -o /dev/null - 2>/dev/null; then
    echo "$compiler cannot link -fsanitize=fuzzer,address,undefined. Install clang and its runtime, on Debian:" >&2
    echo "    apt-get install clang libclang-rt-14-dev" >&2
    echo "or name another clang++ in CXX." >&2
    exit 1
fi

mkdir -p build
cmake -S tests/codecs/fuzz -B "$folder" -DCMAKE_CXX_COMPILER="$compiler" >"$folder.configure.log" 2>&1 ||
    { cat "$folder.configure.log" >&2; exit 1; }
cmake --build "$folder" --parallel 2
"$python" tests/codecs/fuzz/seeds.py "$folder/corpus"
mkdir -p "$folder/findings"

for program in decode_chunk roundtrip_chunk; do
    echo "== $program, $seconds seconds"
    "$folder/$program" -max_total_time="$seconds" -timeout=20 -max_len=32768 -rss_limit_mb=1024 -malloc_limit_mb=256 \
        -entropic_scale_per_exec_time=1 -print_final_stats=1 -verbosity=0 -print_funcs=0 \
        -artifact_prefix="$folder/findings/$program-" "$folder/corpus/$program"
done
echo "== mutate_containers.py, $seconds seconds"
"$python" tests/codecs/fuzz/mutate_containers.py --seconds "$seconds" --findings "$folder/findings"
