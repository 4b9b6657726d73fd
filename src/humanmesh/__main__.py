"""`python -m humanmesh` is the command `humanmesh`."""

import sys

from humanmesh.cli import main

sys.exit(main())
