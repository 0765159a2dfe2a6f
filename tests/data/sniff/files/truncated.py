#!/usr/bin/env python3
"""Sums sales by month."""

import argparse
import csv
import sys
from collections import default