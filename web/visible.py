"""Text from outside, made safe to show; below, since what jobs print is shown so as well."""

from runner.visible import visible as visible
