# For scripts that look for LibTorch: which there is, and what is wrong with it. Source it.
supported='2.11'   # the series this project is built and tested with: its C++ interfaces change from one to the next

version_of() {  # "2.11" of the LibTorch in folder $1, empty where there is none
  local header
  for header in include/torch/headeronly/version.h include/torch/csrc/api/include/torch/version.h; do
    [ -f "$1/$header" ] || continue
    sed -n 's/^#define TORCH_VERSION_MAJOR \([0-9]*\).*/\1/p; s/^#define TORCH_VERSION_MINOR \([0-9]*\).*/.\1/p' "$1/$header" | tr -d '\n'
    return
  done
}

what_is_wrong_with() {  # folder $1: nothing if it can be used
  local version
  version=$(version_of "$1")
  if [ ! -d "$1" ]; then echo "does not exist"
  elif [ -z "$version" ]; then echo "holds no LibTorch (include/torch is looked for)"
  elif [ "$version" != "$supported" ]; then echo "holds LibTorch $version, and $supported is needed"
  elif [ ! -f "$1/lib/libtorch_cpu.so" ]; then echo "lacks lib/libtorch_cpu.so"
  fi
}

torch_of_python() {  # the folder of python3's torch, empty where it has none
  python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null || true
}
