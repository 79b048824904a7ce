"""Does the image change where it should, and only there?"""
