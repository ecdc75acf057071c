# What `cmake --install` lays down, for C and C++ programs:
#
#   include/coffer/*.h        the public headers and nothing else
#   lib/libcoffer.{so,a}      the shared library exports what core/exports.txt lists
#   lib/cmake/coffer          find_package(coffer): coffer::coffer, and coffer::coffer_static where its dependencies are at hand
#   lib/pkgconfig/coffer.pc   pkg-config --libs coffer; --static for the archive
#
# Nothing in them names the folder they are installed in: the whole may be moved.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(COFFER_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/coffer)
set(COFFER_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(COFFER_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH up /prefix/${COFFER_PC_DIR} /prefix)
  string(REGEX REPLACE "/$" "" up ${up})
  set(COFFER_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(folder IN ITEMS LIB INCLUDE)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${folder}DIR})
    set(COFFER_PC_${folder}DIR ${CMAKE_INSTALL_${folder}DIR})
  else()
    set(COFFER_PC_${folder}DIR "\${prefix}/${CMAKE_INSTALL_${folder}DIR}")
  endif()
endforeach()

install(DIRECTORY core/include/coffer DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
foreach(kind IN ITEMS shared static)
  install(TARGETS coffer_${kind} EXPORT coffer_${kind} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT coffer_${kind} FILE coffer_${kind}.cmake NAMESPACE coffer:: DESTINATION ${COFFER_PACKAGE_DIR})
endforeach()

configure_package_config_file(cmake/cofferConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/cofferConfig.cmake
                              INSTALL_DESTINATION ${COFFER_PACKAGE_DIR} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/cofferConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/cofferConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/cofferConfigVersion.cmake
        DESTINATION ${COFFER_PACKAGE_DIR})
# Libs.private and not Requires.private: that asks for the other packages of users of the shared library too, who need none of them
set(private ${HIREDIS_LDFLAGS} ${ZSTD_LDFLAGS})
foreach(folder IN LISTS CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
  list(REMOVE_ITEM private "-L${folder}")
endforeach()
list(JOIN private " " COFFER_PC_PRIVATE)
configure_file(cmake/coffer.pc.in ${CMAKE_CURRENT_BINARY_DIR}/coffer.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/coffer.pc DESTINATION ${COFFER_PC_DIR})
