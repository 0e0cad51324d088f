"""`make bench-planners`: planners against each other, by direct calls of `propose`, no engine.

tasks        what a task is
pools        tasks on measured data
functions    test functions and their optima
synthetic    tasks on test functions
contestants  who takes part
plain        plain BoTorch, a peer that exists for the benchmark alone
running      one run: a task, a planner, a seed
records      results as lines of JSON, appended as they come
comparing    means, standard errors, paired bootstrap intervals
tables       the results as Markdown
"""
