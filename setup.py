"""Packaging of espnet2_caresep."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet2_caresep",
    version="0.1.0",
    description="Query-based general sound separation with CaRE-SEP for ESPnet",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet2_caresep", "espnet2_caresep.*"]),
    package_data={"espnet2_caresep": ["templates/*.html", "assets/*.zip"]},
    python_requires=">=3.12,<3.14",
    install_requires=[
        # ESPnet's own requirements decide which torch and torchaudio fit
        "espnet[enh,train]==202611.*",
        "espnet_model_zoo>=0.1.11",
        "matplotlib>=3.8",
        "numpy>=2.0",
        "pillow>=10",
        "PyYAML>=6.0",
        "safetensors>=0.4",
        "scikit-learn>=1.4",
        "scipy>=1.13",
        "soundfile>=0.12.1",
        "soxr>=0.4",
        "torch>=2.11",
        "tqdm>=4.64",
    ],
    extras_require={
        # The debsounds recipe: av decodes G.722. It also needs tinysoundfont, which is
        # not named here because it requires pyaudio, and that a C compiler and headers
        # of PortAudio, only to play sounds live; setup_env.sh installs it without.
        "recipe": ["av>=12"],
        # The web page of caresep demo
        "demo": ["gradio>=6,<7"],
        "demo-test": ["selenium>=4.20"],
        "test": ["hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3.5", "timm>=1.0"],
        "dev": ["black>=24.10", "isort>=5.13", "ruff>=0.6"],
    },
    entry_points={"console_scripts": ["caresep=espnet2_caresep.cli.main:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
    ],
)
