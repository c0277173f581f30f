#!/usr/bin/env bash
# Build the native core with AddressSanitizer and UndefinedBehaviorSanitizer beside the ordinary one, and run the codec
# tests under it. Arguments are given to pytest. Tests that measure memory or take address space away stay out: the
# sanitizers need both. So do the kernels' own programs and the format readers, which do not use this build.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-$PWD/.venv/bin/python}
compiler=${CXX:-g++}
folder=$PWD/build/sanitize
mkdir -p "$folder"

runtime() {
    local path
    path=$("$compiler" -print-file-name="$1")
    if [[ $path != /* ]]; then
        echo "$compiler has no $1: install its sanitizer runtime (part of g++ on Debian) or name g++ in CXX." >&2
        exit 1
    fi
    echo "$path"
}
preload="$(runtime libasan.so) $(runtime libubsan.so) $(runtime libstdc++.so.6)"

cmake -S codecs -B "$folder/core" -DFREEBITS_SANITIZE=ON -DCMAKE_CXX_COMPILER="$compiler" \
    -DPython_EXECUTABLE="$python" -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)" >"$folder/configure.log" ||
    { cat "$folder/configure.log" >&2; exit 1; }
cmake --build "$folder/core" --parallel 2

# A virtual environment that sees the packages of the usual one, but not its editable freebits.
"$python" -m venv --without-pip --clear "$folder/venv"
"$python" -c "import sysconfig; print(sysconfig.get_path('purelib'))" >"$("$folder/venv/bin/python" -c \
    "import sysconfig; print(sysconfig.get_path('purelib'))")/outer.pth"
rm -rf "$folder/package"
mkdir "$folder/package"
cp -r codecs/freebits_codecs "$folder/package/"
cp "$folder"/core/_core.*.so "$folder/package/freebits_codecs/"

export PYTHONPATH="$folder/package:$PWD/client" PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
tests=("$@")
[[ ${#tests[@]} -gt 0 ]] || tests=(tests/codecs)
LD_PRELOAD="$preload" "$folder/venv/bin/python" -m pytest -q -p no:cacheprovider --ignore tests/codecs/formats \
    --ignore tests/codecs/test_native.py -m "not slow" -k "not memory and not cannot_be_had" "${tests[@]}"
