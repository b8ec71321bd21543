"""XLA's flags under which programs compile quickly, since most of the tests' time is compiling."""

import jaxlib.version

FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
FLAGS += " --xla_cpu_parallel_codegen_split_count=1"
# One thread a program: on cores that others use, too, a convolution's threads wait for each other by spinning.
FLAGS += " --xla_cpu_multi_thread_eigen=false"
if jaxlib.version.__version_info__ < (0, 11):  # a later one does not know it
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
