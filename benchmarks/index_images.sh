#!/usr/bin/env bash
# What opening 1.28 million images in 1000 class folders takes the first time, when every file is listed, and the second, from the index that was kept;
# with COLD=1 also with a cold page cache, which takes root and slows down all that runs on the machine. The files are empty and have ImageNet's names.
#   [COLD=1] benchmarks/index_images.sh [IMAGES_A_CLASS=1281] [CLASSES=1000]      in ${TMPDIR:-/tmp}, about 1.3 million inodes; they are removed at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
images=${1:-1281} classes=${2:-1000}
./bazelw build --noshow_progress //benchmarks:index_images >&2
program=bazel-bin/benchmarks/index_images
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/store"
python3 - "$work/images/train" "$images" "$classes" <<'PYTHON'
import os, sys
root, images, classes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for c in range(classes):
    wnid = f'n{1440764 + 13687 * c:08d}'
    os.makedirs(f'{root}/{wnid}')
    folder = os.open(f'{root}/{wnid}', os.O_RDONLY)
    for i in range(images):
        os.close(os.open(f'{wnid}_{i * 7 + 3}.JPEG', os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
PYTHON
sleep 3   # what changed in the last two seconds is not kept
echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(stat -f -c %T "$work")"
run() { printf '%-22s ' "$1"; "$program" "$work/images" train "$work/store/index"; }
drop() { sync; echo 3 >/proc/sys/vm/drop_caches; }
if [ "${COLD:-}" ]; then
  drop; run 'first start, cold:'
  drop; run 'second start, cold:'
  rm -rf "$work/store/index"
fi
run 'first start, warm:'
run 'second start, warm:'
run 'third start, warm:'
