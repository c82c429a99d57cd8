cd /tmp/hf/CARIGHT
git pull -q --rebase || exit 1
bash lint.sh 2>&1 | tail -8
