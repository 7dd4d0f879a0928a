#!/bin/sh
# apt-get, apt and apk inside a build without network: packages are lent by the machine on which the image is built.
# What can be installed was put under /usr/lib/halab/packages before this step; words and exit statuses are those of the real programs.

# Where a sandbox cannot lay files over the machine's, HALAB_TOOLS and HALAB_ROOT say where packages are and where they go.

pool=${HALAB_TOOLS:-}/usr/lib/halab/packages
root=${HALAB_ROOT:-}
name=${0##*/}
lists=$root/var/lib/apt/lists
yes=no
quiet=no
fetched=no
action=
packages=

# mkdir -p by absolute names alone: below $HALAB_ROOT, a change of directory would lead back into the container's own view.
make_path() {
    path=$root
    rest=${1#"$root"/}
    while [ -n "$rest" ]; do
        path=$path/${rest%%/*}
        [ -d "$path" ] || mkdir "$path"
        case "$rest" in
            */*) rest=${rest#*/} ;;
            *) rest= ;;
        esac
    done
}

for word in "$@"; do
    case "$word" in
        -y | --yes | --assume-yes) yes=yes ;;
        -q | -qq | -qqq | --quiet | --quiet=*) quiet=yes ;;
        --update-cache | -U | -u) fetched=yes ;;
        --no-cache) fetched=yes ;;
        -*) ;;
        *) if [ -z "$action" ]; then action=$word; else packages="$packages $word"; fi ;;
    esac
done

say() { [ "$quiet" = yes ] || printf '%s\n' "$*"; }

note() { say "(halab: no network here; packages are borrowed from the machine that builds this image)"; }

record() { # package version
    make_path "$root/var/lib/dpkg/info"
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: %s\nDescription: borrowed from the building machine\n\n' \
        "$1" "$2" >> "$root/var/lib/dpkg/status"
    (cd "$pool/$1/files" && find . -mindepth 1 | cut -c2-) > "$root/var/lib/dpkg/info/$1.list"
}

have() { [ -f "$root/var/lib/dpkg/info/$1.list" ]; }

put() { # package
    if [ -n "$(ls -A "$pool/$1/files")" ]; then cp -af "$pool/$1/files/." "$root/" || exit 100; fi
    record "$1" "$(cat "$pool/$1/version")"
}

unknown() {
    if [ "$name" = apk ]; then
        printf 'ERROR: unable to select packages:\n  %s (no such package):\n    required by: world[%s]\n' "$1" "$1" >&2
    else
        printf 'E: Unable to locate package %s\n' "$1" >&2
    fi
    printf 'halab: %s is not installed on the machine that builds this image, so it cannot be lent.\n' "$1" >&2
    printf 'halab: install it there (outside the image), or take a base image that has it.\n' >&2
}

install_all() {
    wanted=
    for item in $packages; do
        plain=${item%%=*}
        plain=${plain%%[<>~]*}
        plain=${plain%/*}
        plain=${plain%+}
        if [ ! -d "$pool/$plain" ]; then
            if [ "$plain" = bash ] || [ "$plain" = coreutils ] || [ "$plain" = libc6 ]; then
                say "$plain is already the newest version."
                continue
            fi
            unknown "$plain"
            exit "$1"
        fi
        case "$item" in
            *=*)
                pattern=${item#*=}
                # shellcheck disable=SC2254 # the pattern is meant as one
                case "$(cat "$pool/$plain/version")" in
                    $pattern) ;;
                    *)
                        printf "E: Version '%s' for '%s' was not found\n" "$pattern" "$plain" >&2
                        printf 'halab: this machine lends %s %s\n' "$plain" "$(cat "$pool/$plain/version")" >&2
                        exit "$1"
                        ;;
                esac
                ;;
        esac
        if have "$plain"; then say "$plain is already the newest version ($(cat "$pool/$plain/version"))."; else wanted="$wanted $plain"; fi
    done
}

apt_install() {
    say "Reading package lists..."
    if [ ! -e "$lists/halab" ]; then
        set -- $packages
        if [ $# -gt 0 ]; then
            printf 'E: Unable to locate package %s\n' "${1%%=*}" >&2
            printf 'halab: a fresh image has no package lists: run apt-get update first, in the same RUN.\n' >&2
            exit 100
        fi
    fi
    say "Building dependency tree..."
    install_all 100
    set -- $wanted
    if [ $# -eq 0 ]; then
        say "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded."
        return
    fi
    total=0
    say "The following NEW packages will be installed:"
    say " $wanted"
    for item in $wanted; do total=$((total + $(cat "$pool/$item/size"))); done
    say "0 upgraded, $# newly installed, 0 to remove and 0 not upgraded."
    say "After this operation, $total kB of additional disk space will be used."
    if [ "$yes" = no ]; then
        printf 'Do you want to continue? [Y/n] Abort.\n'
        printf 'halab: nobody can answer during a build: add -y.\n' >&2
        exit 1
    fi
    note
    for item in $wanted; do
        say "Unpacking $item ($(cat "$pool/$item/version")) ..."
        put "$item"
        while read -r part; do say "Setting up ${part% *} (${part##* }) ..."; done < "$pool/$item/parts"
    done
}

remove() {
    for item in $packages; do
        have "$item" || continue
        say "Removing $item ..."
        while read -r file; do if [ -f "$root$file" ] || [ -L "$root$file" ]; then rm -f "$root$file"; fi; done < "$root/var/lib/dpkg/info/$item.list"
        rm -f "$root/var/lib/dpkg/info/$item.list"
    done
}

if [ "$name" = apk ]; then
    case "$action" in
        add)
            note
            install_all 1
            count=0
            for item in $wanted; do
                count=$((count + 1))
                say "($count) Installing $item ($(cat "$pool/$item/version"))"
                put "$item"
            done
            say "OK: $count packages"
            ;;
        del) remove ;;
        update | upgrade) say "OK: packages are borrowed from the building machine" ;;
        *) say "apk-tools (halab)" ;;
    esac
    exit 0
fi

case "$action" in
    update)
        make_path "$lists"
        echo borrowed > "$lists/halab"
        say "Get:1 file:$pool ./ InRelease"
        note
        say "Reading package lists..."
        ;;
    install) apt_install ;;
    remove | purge) remove ;;
    upgrade | dist-upgrade | full-upgrade | autoremove | clean | autoclean | check)
        say "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded."
        ;;
    "") say "apt (halab): packages are borrowed from the building machine" ;;
    *)
        printf 'E: Invalid operation %s\n' "$action" >&2
        exit 100
        ;;
esac
exit 0
