# SPDX-License-Identifier: Apache-2.0
"""A short trial (trial.py): some faults that follow from a seed, and not one acknowledged message lost."""

from testbed import short
from trial import trial_library, trial_redis

SECONDS = 6


@short
def test_reference_broker(directory):
    trial_library(directory, SECONDS, 7, print)


@short
def test_redis(directory):
    trial_redis(directory, SECONDS, 3, print)
