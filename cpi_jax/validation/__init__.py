"""Input checks that need nothing but arrays and numbers: a wrong value is refused in one sentence."""
