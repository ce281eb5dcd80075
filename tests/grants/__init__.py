"""Tests of each grant, through the whole daemon in memory."""
