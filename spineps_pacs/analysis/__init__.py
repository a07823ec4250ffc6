"""The numeric story: from a series to a report; arithmetic only, no files, no network, no clock."""
