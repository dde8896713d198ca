"""The tabs of the Overfitting lab and its first lesson, by the names in the page's address."""

EXPERIMENT, LESSON_TAB = "Watch them learn", "Lessons"
FIRST_LESSON = "1. Why prompts overfit"
LESSON_TAB_BEFORE = "Three lessons"  # its name in links of before
