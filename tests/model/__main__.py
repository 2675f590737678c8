"""`python -m tests.model`: histories until one goes wrong."""

import sys

from tests.model.seeds import main

sys.exit(main())
