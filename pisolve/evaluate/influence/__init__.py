"""Which samples of k-space did a region of the image come from?"""
