"""Links of one cohort in others: the same metagene, the same feature, the same direction?"""
