#!/usr/bin/env bash
# From a study file to an exported model, on real data: demo.sh VENV_BIN. A second call finds the study finished.
set -euo pipefail
bin=$1 study=concrete-strength target=exported/concrete-strength

"$bin/kerastudy" run studies/concrete.yaml
echo
"$bin/kerastudy" best "$study"
echo
if [ -e "$target" ]; then
    echo "$target is there from an earlier demo; remove it to export again."
else
    "$bin/kerastudy" export "$study" --format keras,saved_model --to "$target"
fi
cat <<END

Where to look:
  studies/concrete.yaml        the study file
  $target   the best model; model.keras and saved_model take raw columns, parity.json is the proof
  ${KERASTUDY_HOME:-.kerastudy}                   everything the study left
  $bin/kerastudy ui       every trial in MLflow: learning curves, parameters, the leaderboard
  docs/getting-started.md      the same with your own data
END
