"""Does the image explain the data?"""
