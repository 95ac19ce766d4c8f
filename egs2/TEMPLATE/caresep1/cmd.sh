# Which commands run the jobs:
#   train_cmd   statistics         decode_cmd   inference       cuda_cmd   training
# All take Kaldi's options (scripts/cmd/parse.sh lists them).
# shellcheck shell=bash

# local, slurm, pbs or sge
cmd_backend=${CARESEP_CMD_BACKEND:-local}

caresep_cmd=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/scripts/cmd
espnet_cmd=$(cd "${PWD}/.." && cd .. && pwd)/TEMPLATE/enh1/cmd.sh
if [ -e "${espnet_cmd}" ] && [ -z "${CARESEP_CMD_BACKEND:-}" ]; then
    # Inside an ESPnet checkout: its choice
    # shellcheck disable=SC1090
    . "${espnet_cmd}"
else
    case ${cmd_backend} in
        local) caresep_cmd+=/run.pl ;;
        slurm) caresep_cmd+=/slurm.pl ;; # options of the site: conf/slurm.conf
        pbs) caresep_cmd+=/pbs.pl ;;     # conf/pbs.conf
        sge) caresep_cmd+=/queue.pl ;;   # conf/queue.conf
        *)
            echo "cmd.sh: error: cmd_backend must be local, slurm, pbs or sge, not" \
                 "${cmd_backend}" >&2
            exit 2
            ;;
    esac
    export train_cmd=${caresep_cmd} cuda_cmd=${caresep_cmd} decode_cmd=${caresep_cmd}
fi
