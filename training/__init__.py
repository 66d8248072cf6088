"""From 17Lands' drafts to weights: reading, training, measuring, packaging."""

import os

# OpenMP's threads wait by spinning, and on a machine that others use as well each spins while the
# other is kept from its core: 2 threads made 200 picks/s there, and 1 300 when they wait asleep.
# It is read when torch is imported, so it stands before all of that.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
